"""The configuration of the data: where it comes from and how it is split."""

import dataclasses

# Sources that are read from their published files; the readers are those of `formats.registry`.
PUBLISHED = ('movielens_1m', 'movielens_25m', 'amazon_reviews', 'yambda', 'mind')
# What a time says of the moment in which something is asked for.
MOMENTS = ('hour', 'weekday')


@dataclasses.dataclass
class DataConfig:
  """Where the events and items come from, and the protocol of the split.

  Attributes:
    source: 'movielens' (the bundled data), 'tables' (the user's own files), or a published data set
      in the files of its owners, of `data.formats.registry`, such as 'movielens_1m'.
    folder: where the files of such a published data set are, itself or below it.
    interactions: CSV or Parquet file of events, for source 'tables'; of a published data set, the
      one to take where several files of events are below `folder`.
    items: CSV or Parquet file of items, for source 'tables'.
    user_column: column of the user's id, string or integer.
    item_column: column of the item's id, in both tables.
    time_column: column of the event's time: a number of seconds (or milliseconds, microseconds,
      nanoseconds: the magnitude tells) since 1970, or a date: ISO 8601, or like 19970920.
    rating_column: column of an explicit rating; without it feedback is implicit.
    quantity_column: column of a quantity; events with a quantity of 0 or less are left out.
    text_columns: columns of the item table joined to its text, separated by commas; empty means
      every column of text or of lists of strings that is among neither of the next two.
    item_categories: columns of the item table that say of which kinds an item is, separated by
      commas; a cell holds one value, or several parted by '|', or a list.
    item_numbers: columns of the item table that hold numbers, separated by commas; cells may be
      empty.
    users: CSV or Parquet file of users, for what is known of them; some may be absent.
    user_categories: columns of it, as those of items.
    user_numbers: likewise.
    event_numbers: columns of the table of events that hold numbers which are known when an item is
      asked for and are the same whatever the item, such as what the user wants to spend.
    moment: what models read of the time at which an item is asked for: 'hour', 'weekday' (UTC, or
      the zone that times are written in without saying so), separated by commas.
    max_categories: the most values that a column of categories may have.
    text_model: folder of the text encoder in the Hugging Face layout (config.json, tokenizer.json,
      model.safetensors): BERT, RoBERTa, GPT-2, Llama, Qwen; empty means all-MiniLM-L6-v2.
    text_pooling: how the token vectors of a text become one: 'mean', 'first' or 'last', or 'auto',
      as the folder says, else the mean of a bidirectional encoder and the last of a causal one.
    text_length: tokens that a text is cut at.
    positive_rating: ratings from this value on count as reward 1.
    used_fraction: share of the events, in time order, that is used at all. A run on the events
      before the cut of another run is where choices can be made that this other run then judges.
    cut: share of the used events, in time order, that lies before the global cut.
    split: which events models train on and have to predict: 'leave_last' holds out the last two of
      each user before the cut, 'global_time' the first after a cut for all, 'random_ratio' some of
      each user, 'cold_user' and 'cold_item' whole users and items; see `data.split_protocols`.
    min_events: users with fewer events before the cut are not ranked.
    repeats: keep events with an item that the user met before; models then learn to recommend it
      again, and are judged with all items as candidates. Without, the first of them stays.
    drop_duplicates: keep the first of duplicate rows instead of stopping at them.
  """

  source: str = 'movielens'
  folder: str = ''
  interactions: str = ''
  items: str = ''
  user_column: str = 'user_id'
  item_column: str = 'item_id'
  time_column: str = 'timestamp'
  rating_column: str = 'rating'
  quantity_column: str = 'quantity'
  text_columns: str = ''
  item_categories: str = ''
  item_numbers: str = ''
  users: str = ''
  user_categories: str = ''
  user_numbers: str = ''
  event_numbers: str = ''
  moment: str = ''
  max_categories: int = 1000
  text_model: str = ''
  text_pooling: str = 'auto'
  text_length: int = 32
  positive_rating: float = 4.0
  used_fraction: float = 1.0
  cut: float = 0.7
  split: str = 'leave_last'
  min_events: int = 5
  repeats: bool = False
  drop_duplicates: bool = False
