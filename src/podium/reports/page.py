"""A report as one HTML file: it loads nothing, and whatever it is told is escaped."""

import base64
from collections.abc import Mapping

from jinja2 import Environment, StrictUndefined

from podium.reports.blocks import Page


def render(page: Page, drawn: Mapping[str, bytes]) -> str:
    """The page with everything in it.

    Args:
        drawn: the PNG of each chart, by its name.
    """
    images = {name: data_uri(data, "png") for name, data in drawn.items()}
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE).render(page=page, images=images, style=STYLE)


def data_uri(data: bytes, kind: str) -> str:
    """Bytes of an image as an address that holds them itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


# Nothing is loaded, so that nothing may be: the policy holds whatever a name has smuggled in.
TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}</title>
<style>
{{ style | safe }}
</style>
</head>
<body>
<header>
<h1>{{ page.title }}</h1>
<p class="headline">{{ page.headline }}</p>
<p>{{ page.about }}</p>
<nav aria-label="Contents">
<ul>
{% for section in page.sections %}
<li><a href="#{{ section.anchor }}">{{ section.title }}</a></li>
{% endfor %}
</ul>
</nav>
</header>
<main>
{% for section in page.sections %}
<section aria-labelledby="{{ section.anchor }}">
<h2 id="{{ section.anchor }}">{{ section.title }}</h2>
{% for block in section.blocks %}
{% if block.kind == "words" %}
<p{% if block.left_out %} class="left-out"{% endif %}>{{ block.text }}</p>
{% elif block.kind == "facts" %}
<dl>
{% for name, value in block.pairs %}
<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{% elif block.kind == "table" %}
{% set numeric = block.numeric %}
{% if block.folded %}
<details><summary>{{ block.caption }}</summary>
{% endif %}
<div class="scroll" tabindex="0" role="region" aria-label="{{ block.caption }}">
<table>
{% if not block.folded %}
<caption>{{ block.caption }}</caption>
{% endif %}
<thead><tr>
{%- for title in block.titles -%}
<th scope="col"{% if numeric[loop.index0] %} class="number"{% endif %}>{{ title }}</th>
{%- endfor -%}
</tr></thead>
<tbody>
{% for row in block.rows %}
<tr>
{%- for cell in row -%}
<td{% if numeric[loop.index0] %} class="number"{% endif %}>{{ cell }}</td>
{%- endfor -%}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% if block.folded %}
</details>
{% endif %}
{% elif block.kind == "charts" %}
<div class="charts">
{% for chart in block.charts %}
<figure{% if chart.wide %} class="wide"{% endif %}>
<img src="{{ images[chart.name] }}" alt="{{ chart.alt }}" style="max-width: min(100%, {{ chart.pixels }}px)">
{% if chart.caption %}
<figcaption>{{ chart.caption }}</figcaption>
{% endif %}
</figure>
{% endfor %}
</div>
{% elif block.kind == "images" %}
<h3>{{ block.caption }}</h3>
<div class="images{% if block.strips %} strips{% endif %}">
{% for image in block.images %}
<figure>
<div class="frame">
{% if image.image %}
<div class="shot"><img src="{{ image.image }}" alt="{{ image.alt }}">
{% if image.boxes %}
<svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
{% for box in image.boxes %}
{% for layer in ["ground", "true" if box.truth else "found"] %}
<rect class="{{ layer }}" x="{{ box.x }}" y="{{ box.y }}" width="{{ box.width }}" height="{{ box.height }}"/>
{% endfor %}
{% endfor %}
</svg>
{% endif %}
</div>
{% else %}
<p class="left-out">{{ image.alt }}</p>
{% endif %}
</div>
<figcaption>
{% if image.right %}<span class="right">✓ {{ image.right }}</span>{% endif %}
{% if image.wrong %}<span class="wrong">✗ {{ image.wrong }}</span>{% endif %}
{% if image.note %}<span>{{ image.note }}</span>{% endif %}
{% if image.name %}<span class="name">{{ image.name }}</span>{% endif %}
</figcaption>
</figure>
{% endfor %}
</div>
{% elif block.kind == "verbatim" %}
<details><summary>{{ block.title }}</summary>
<pre>{{ block.text }}</pre>
</details>
{% endif %}
{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
"""  # noqa: E501 - HTML

STYLE = """\
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --pale: #57606a; --line: #d0d7de;
  --soft: #f3f5f7; --right: #00634a; --wrong: #a63d00; --link: #0b5394; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --ink: #e8eaed; --pale: #a7b0ba;
  --line: #3a424c; --soft: #20252b; --right: #55d6ae; --wrong: #ff9d5c; --link: #8ab8f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1200px; padding: 1rem; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: .3rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; }
p { margin: .5rem 0; max-width: 75ch; }
a { color: var(--link); }
.headline { font-size: 1.25rem; font-weight: 600; max-width: none; }
.left-out { color: var(--pale); border-left: 4px solid var(--line); padding-left: .7rem;
  overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; }
nav a { display: inline-block; padding: .25rem 0; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr));
  gap: .15rem 2rem; margin: .5rem 0; }
dl div { display: grid; grid-template-columns: 8.5rem 1fr; border-bottom: 1px solid var(--soft); }
dt { color: var(--pale); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; max-width: 100%; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { text-align: left; padding: .25rem .7rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--pale); font-weight: 600; }
.number { text-align: right; white-space: nowrap; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 1rem; margin: 1rem 0; }
.charts figure { margin: 0; background: #fff; color: #1b1f24; border: 1px solid var(--line);
  border-radius: 6px; padding: .5rem; max-width: 40rem; }
.charts .wide { grid-column: 1 / -1; max-width: none; overflow-x: auto; }
.charts .wide img { min-width: 36rem; }
.charts img { width: 100%; height: auto; display: block; }
.charts img { margin: 0 auto; }
.charts figcaption { font-size: .85rem; color: #57606a; padding: .3rem .2rem 0; }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr));
  gap: 1rem .8rem; }
.images figure { margin: 0; min-width: 0; }
.strips { grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
.frame { height: 9.5rem; display: flex; align-items: center; justify-content: center;
  background: var(--soft); border-radius: 4px; overflow: hidden; }
.shot { position: relative; display: flex; max-height: 100%; }
.shot img { display: block; max-width: 100%; max-height: 9.5rem; min-height: 4rem;
  image-rendering: auto; }
.shot svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.strips .frame { height: auto; }
.strips .shot, .strips .shot img { width: 100%; max-height: none; }
rect { fill: none; vector-effect: non-scaling-stroke; stroke-width: 2px; }
.ground { stroke: #fff; stroke-width: 4px; }
.true { stroke: #00734f; }
.found { stroke: #0b5394; stroke-dasharray: 5 3; }
.images figcaption { font-size: .82rem; line-height: 1.35; padding-top: .3rem; }
.images figcaption span { display: block; overflow-wrap: anywhere; }
.right { color: var(--right); }
.wrong { color: var(--wrong); font-weight: 600; }
.name { color: var(--pale); font-size: .75rem; }
details { margin: .8rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .25rem 0; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; font-size: .82rem;
  border-radius: 4px; }
@media (max-width: 500px) { body { padding: .7rem; } table { font-size: .85rem; }
  th, td { padding: .25rem .4rem; } .images:not(.strips) {
  grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); } .frame { height: 7.5rem; }
  .shot img { max-height: 7.5rem; } dl div { grid-template-columns: 7.8rem 1fr; } }
@media print { body { max-width: none; } details { display: block; } }
"""
