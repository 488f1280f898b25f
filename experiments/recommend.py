"""Recommends from a run: --checkpoint=DIR --history="Toy Story, Babe", and says why."""

from absl import flags

from experiments import launch

_CHECKPOINT = flags.DEFINE_string('checkpoint', None, 'workdir of a run', required=True)
_HISTORY = flags.DEFINE_string(
  'history', '', 'titles or ids in order of time, parted by commas or, if any is there, semicolons'
)
_K = flags.DEFINE_integer('k', 10, 'how many items')
_MODEL = flags.DEFINE_enum('model', None, ['student', 'teacher'], 'the student if there is one')
_UNKNOWN = flags.DEFINE_enum(
  'unknown', 'refuse', ['refuse', 'skip'], 'what happens to titles that no item has'
)
_ALLOWED = flags.DEFINE_multi_string('allowed', [], 'ATTRIBUTE:VALUE that items must have')
_BLOCKED = flags.DEFINE_multi_string('blocked', [], 'ATTRIBUTE:VALUE that items must not have')
_ABOUT = flags.DEFINE_multi_string('about', [], 'COLUMN:VALUE that is known of the user')
_NOW = flags.DEFINE_string('now', None, 'when they ask: seconds since 1970, or 2026-01-31T18:00')
_EXPLORE = flags.DEFINE_string('explore', '', 'a policy that chooses, such as per_user_lin_ts')
_SETTING = flags.DEFINE_multi_string('setting', [], 'NAME=NUMBER of the policy, such as scale=0.5')
_SEED = flags.DEFINE_integer('seed', 0, 'of the chance of the policy', lower_bound=0)


def main() -> None:
  """Prints the list."""
  from rec_jax.retrieval import listing

  constraints = _ALLOWED.value, _BLOCKED.value
  explore = _EXPLORE.value, _SETTING.value, _SEED.value
  asked = _CHECKPOINT.value, _HISTORY.value, _K.value, _MODEL.value, _UNKNOWN.value
  listing.print_answer(*asked, constraints, explore, (_ABOUT.value, _NOW.value))


if __name__ == '__main__':
  launch.start_alone(main)
