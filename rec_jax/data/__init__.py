"""Where events and items come from: sources, tables, TFDS builder, splits, text, batches, logs."""
