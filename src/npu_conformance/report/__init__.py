"""The report of a run: one `Report`, rendered as JSON, Markdown in English and Markdown in Chinese."""
