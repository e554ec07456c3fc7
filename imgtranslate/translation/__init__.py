"""Translation of pictures and folders: the translator, the plan, the stages and the pipeline."""
