"""Texts a second by BertModel of transformers, batch after batch."""

import json
import os
import sys
import time

import numpy as np
import torch
import transformers

sizes = json.loads(sys.argv[1])
torch.set_num_threads(os.cpu_count() or 1)
model = transformers.BertModel.from_pretrained(sizes['folder'], add_pooling_layer=False).eval()
with np.load(sizes['tokens']) as tokens:
  ids, mask = (torch.from_numpy(tokens[name].astype(np.int64)) for name in ('ids', 'mask'))


def encode() -> torch.Tensor:
  """[n, 384] unit vectors of all texts."""
  vectors = []
  for start in range(0, len(ids), sizes['batch']):
    rows = slice(start, start + sizes['batch'])
    width = ids.shape[1] if sizes['pads_all'] else int(mask[rows].sum(1).max())
    part = mask[rows, :width]
    hidden = model(input_ids=ids[rows, :width], attention_mask=part).last_hidden_state
    weights = part[..., None].float()
    mean = (hidden * weights).sum(1) / weights.sum(1)
    vectors.append(torch.nn.functional.normalize(mean, dim=1))
  return torch.cat(vectors)


with torch.inference_mode():
  model(input_ids=ids[: sizes['batch']], attention_mask=mask[: sizes['batch']])
  start = time.perf_counter()
  encode()
  print(json.dumps(len(ids) / (time.perf_counter() - start)))
