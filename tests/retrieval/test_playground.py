"""The page: its endpoints in the same process, and what a browser makes of it."""

import shutil
import socket
import subprocess
import threading
import time

import pytest
import uvicorn
from starlette.testclient import TestClient

from rec_jax.retrieval import playground
from tests.helpers import served

DATA = served.dataset()
CHROMIUM = shutil.which('chromium')


@pytest.fixture(scope='module')
def app():
  taught = served.teacher(DATA)
  recommender = served.recommender(served.student(taught, DATA), taught, DATA)
  return playground.app(recommender, 'a </script> run')


@pytest.fixture(scope='module')
def client(app):
  return TestClient(app)


def ask(client, history=(('i3', True), ('i5', False)), **changes):
  events = [{'id': each, 'liked': liked} for each, liked in history]
  asked = {'history': events, 'k': 4, 'allowed': {}, 'explore': '', 'strength': 0.5, 'seed': 1}
  return client.post('/recommend', json=asked | changes)


def test_items_are_found_by_what_is_typed_and_by_id(client):
  assert client.get('/items?q=thing 7').json()[0] == {'id': 'i7', 'title': 'Thing 7 (1987)'}
  assert [item['id'] for item in client.get('/items?ids=i5,gone,i3').json()] == ['i5', 'i3']
  assert client.get('/items').json() == []


def test_the_page_has_a_menu_of_each_attribute_with_few_values(client):
  page = client.get('/').text
  assert '"attributes": {"kind": ["blue", "green", "red"]}' in page


def test_an_answer_says_scores_reasons_and_propensities(client):
  plain = ask(client).json()
  assert len(plain['items']) == 4 and not plain['fromPrior']
  assert all(item['propensity'] is None and item['why']['most'] for item in plain['items'])
  assert {item['id'] for item in plain['items']}.isdisjoint({'i3', 'i5'})
  explored = ask(client, explore='epsilon_greedy', allowed={'kind': 'red'}).json()
  assert all(0 < item['propensity'] <= 1 for item in explored['items'])
  assert all(int(item['id'][1:]) % 3 == 0 for item in explored['items'])
  nobody = ask(client, history=()).json()
  assert nobody['fromPrior'] and all(item['why'] is None for item in nobody['items'])


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'history': (('gone', True),)}, 'no item "gone"'),
    ({'k': 51}, 'ask for 50 items'),
    ({'k': 30}, 'k is 30'),
    ({'allowed': {'kind': 'rad'}}, 'no item has kind "rad"'),
    ({'allowed': 'red'}, 'not a request'),
    ({'explore': 'uniform'}, 'no policy "uniform" on this page'),
    ({'explore': 'epsilon_greedy', 'strength': 7}, 'epsilon = 7'),
    ({'explore': 'epsilon_greedy', 'strength': 'much'}, 'not a request'),
  ],
)
def test_what_cannot_be_is_said(client, changes, message):
  answer = ask(client, **changes)
  assert answer.status_code == 400
  assert message in answer.json()['error']


def test_what_is_no_request_is_said(client):
  for content in ('{', '[]', '{"k": 1}', '{"history": [{"id": "i3"}]}'):
    answer = client.post('/recommend', content=content)
    assert answer.status_code == 400 and 'not a request' in answer.json()['error']


@pytest.fixture(scope='module')
def address(app):
  """Of the page, served from a thread."""
  listening = socket.create_server(('127.0.0.1', 0))
  server = uvicorn.Server(uvicorn.Config(app, log_level='warning'))
  thread = threading.Thread(target=server.run, kwargs={'sockets': [listening]})
  thread.start()
  while not server.started:
    time.sleep(0.01)
  yield f'http://127.0.0.1:{listening.getsockname()[1]}'
  server.should_exit = True
  thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason='no chromium to draw the page')
def test_a_browser_shows_the_list(address, tmp_path):
  asked = f'{address}/?history=i3,i5&k=5&explore=epsilon_greedy&strength=0.5'
  flags = '--headless', '--no-sandbox', '--disable-gpu', f'--user-data-dir={tmp_path}'
  command = [CHROMIUM, *flags, '--virtual-time-budget=20000', '--dump-dom', asked]
  page = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
  assert 'data-ready="yes"' in page
  assert '<h1 id="heading">Playground: a &lt;/script&gt; run</h1>' in page
  assert page.count('class="title"') == 5 and page.count('class="bar"') == 5
  assert 'Thing 3 (1983)</span>' in page and 'most of it from' in page
  assert 'After 2 items' in page and 'data-attribute="kind"' in page
