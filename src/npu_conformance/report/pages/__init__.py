"""Pages of HTML: charts, tokens, and the templates' filters. `renderers.html` writes them."""
