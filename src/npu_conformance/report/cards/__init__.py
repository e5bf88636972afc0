"""Model cards in Markdown, of the same sections that pages show. `renderers.card` writes them."""
