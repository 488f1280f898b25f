"""The page: complete, self-contained, escaped, and written in one step."""

import html.parser
import re

import pytest

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import page
from rec_jax.report.page import Facts, Headline, Section, Summary, Table
from rec_jax.report.style import Figure, LegendEntry

VOID = {'meta', 'img', 'br', 'link', 'hr', 'input'}


class Tags(html.parser.HTMLParser):
  """Collects links and ids, and fails on tags that do not match."""

  def __init__(self):
    super().__init__()
    self.open, self.ids, self.links, self.sources = [], [], [], []

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    self.ids += [attrs['id']] if 'id' in attrs else []
    self.links += [attrs['href']] if 'href' in attrs else []
    self.sources += [attrs['src']] if 'src' in attrs else []
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


def content(rows=None):
  same = [
    ['a <b>', Estimate(0.2144, 0.1963, 0.2324, 672), 3],
    ['b', Estimate(0.3, 0.28, 0.32, 672), 4],
  ]
  mixed = [['a', Estimate(0.2, 0.18, 0.22, 7)], ['b', Estimate(0.3, 0.28, 0.32, 8)]]
  figure = Figure(
    'a figure', 'how to read it', ('<svg/>', '<svg/>'), (LegendEntry('x', '#000', True),)
  )
  return {
    'title': 'Title & <script>',
    'facts': [
      Facts('Data', {'events': 100000, 'source': 'made up'}),
      Facts('Config', {'seed': 0}, True),
    ],
    'summary': Summary([Headline('best', Estimate(0.32, 0.3, 0.34, 9), 'a note')], ['yes'], ['no']),
    'sections': [
      Section(
        'First',
        'one\n\ntwo',
        [Table('same n', ['m', 'recall', 'items'], rows or same, 'a protocol')],
      ),
      Section('Second', tables=[Table('mixed n', ['m', 'recall'], mixed)], figures=[figure]),
    ],
  }


def parse(text):
  tags = Tags()
  tags.feed(text)
  assert not tags.open
  return tags


def test_page_is_self_contained_and_its_links_lead_somewhere():
  tags = parse(page.render(**content()))
  assert len(tags.sources) == 2
  assert all(source.startswith('data:image/svg+xml;base64,') for source in tags.sources)
  assert {link.removeprefix('#') for link in tags.links} <= set(tags.ids)
  assert len(tags.ids) == len(set(tags.ids))


def test_text_is_escaped():
  text = page.render(**content())
  assert '<script>' not in text
  assert 'Title &amp; &lt;script&gt;' in text
  assert 'a &lt;b&gt;' in text


def test_page_shows_what_it_was_given():
  text = re.sub(r'<style>.*?</style>|<[^>]+>', ' ', page.render(**content()), flags=re.DOTALL)
  text = ' '.join(text.split())
  for part in (
    'events 100,000',
    'best 0.320 [0.300, 0.340] a note',
    'What to conclude yes',
    'What not to conclude no',
    'First one two same n m recall n = 672 items',
    '0.214 [0.196, 0.232] 3',
    'a protocol',
    '[0.180, 0.220], n = 7',
    'a figure x how to read it',
  ):
    assert part in text


def test_a_failure_leaves_the_old_page_and_no_other_file(tmp_path):
  path = tmp_path / 'report' / 'index.html'
  page.write_page(path, **content())
  before = path.read_text()
  with pytest.raises(ValueError, match="table 'same n': 1 cells for 3 columns"):
    page.write_page(path, **content(rows=[['alone']]))
  assert path.read_text() == before
  assert [file.name for file in path.parent.iterdir()] == ['index.html']


def test_writing_again_replaces_the_page(tmp_path):
  path = tmp_path / 'index.html'
  path.write_text('old')
  page.write_page(path, **content())
  assert path.read_text() == page.render(**content())
