"""The HTML of heat maps, with inline styles, as that of displaCy."""

TPL_PAGE = """
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explanations</title>
</head>
<body style="margin: 0 auto; max-width: 60rem; padding: 2rem; background: #ffffff; color: #1a1a1a; font-size: 16px; font-family: -apple-system, BlinkMacSystemFont, 'Segoe UI', Helvetica, Arial, sans-serif, 'Apple Color Emoji', 'Segoe UI Emoji', 'Segoe UI Symbol'">
{content}</body>
</html>
"""  # noqa: E501

TPL_FIGURE = """
<figure class="textconv" style="margin: 0 0 4rem">
<figcaption style="font-size: 1.5em; font-weight: bold; margin-bottom: 0.5rem">{title}</figcaption>
{table}{maps}</figure>
"""  # noqa: E501

TPL_QUESTION = "Why <bdi>{label}</bdi>?"

TPL_TABLE = """\
<table style="border-collapse: collapse; margin-bottom: 1.5rem; line-height: 1.6">
{bars}</table>
"""

TPL_BAR = """\
<tr style="font-weight: {weight}"><th scope="row" style="font-weight: inherit; text-align: start; padding-right: 1em; max-width: 20em; overflow-wrap: anywhere"><bdi>{label}</bdi></th><td style="text-align: end; padding-right: 0.75em; font-variant-numeric: tabular-nums">{percent} %</td><td style="width: 16em"><div style="width: {percent}%; height: 0.7em; border-radius: 0.2em; background: {color}"></div></td></tr>
"""  # noqa: E501

TPL_MORE = """\
<tr><td colspan="3" style="color: #666666">and {number} more</td></tr>
"""

TPL_MAP = """\
<section style="margin-bottom: 1.5rem">
<div style="display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 2em; border-bottom: 1px solid #dddddd; padding-bottom: 0.25rem; margin-bottom: 0.5rem; font-size: 0.9em; color: #444444"><strong>{title}</strong>{scale}</div>
<div class="heat-map" lang="{lang}" dir="{dir}" style="line-height: 1.9; white-space: pre-wrap; overflow-wrap: anywhere; print-color-adjust: exact">{content}</div>
</section>
"""  # noqa: E501

TPL_SCALE = """\
<span>{low} <span style="display: inline-block; width: 8em; height: 0.8em; vertical-align: middle; border: 1px solid #dddddd; background: linear-gradient(to right, {colors})"></span> {high}</span>"""  # noqa: E501

TPL_MARK = """\
<mark title="{value}" style="background: {bg}; color: {color}; {shape}">{text}</mark>"""  # noqa: E501

TPL_EMPTY = """\
<p>The document is empty.</p>
"""
