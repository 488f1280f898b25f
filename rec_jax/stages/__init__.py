"""One function `run(config, workdir)` a stage: what each script calls."""

# In the order in which they run; later ones read what earlier ones wrote.
STAGES = ('prepare', 'pretrain', 'finetune', 'distil', 'explore', 'evaluate')
