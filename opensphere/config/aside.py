"""Keys of configs that change nothing of what is learnt: where it is written, who reads the data, what is said."""

PROJECT = ("proj_dir", "model_dir", "cfg_fname", "train_log", "val_log", "checkpoint_intvl")
LOADER = ("num_workers", "max_broken", "pin_memory")
DATASET = ("in_memory",)
PLACES = ("data_dir", "ann_path")  # of the same images, in another folder
