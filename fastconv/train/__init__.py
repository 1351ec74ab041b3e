"""Training: the loop, what may be hung into it, checkpoints that go on bit for bit, and transfer learning.

trainer = fc.train.Trainer(model, fc.optim.Adam(model.parameters()), callbacks=[fc.train.Checkpoints("run")])
trainer.fit(train_loader, test_loader, epochs=20)
"""

from __future__ import annotations

from .callbacks import Callback, EarlyStopping
from .checkpoint import Checkpoints, load_checkpoint, save_checkpoint
from .log import CSVLog, JSONLog
from .metrics import Evaluation
from .plot import Curves
from .profiling import Profile, profile
from .progress import EpochLines, ProgressBar
from .recipes import RECIPES, Recipe, recipe
from .trainer import Trainer, classification_loss
from .transfer import features, fine_tune, freeze, parameter_groups, replace_head, unfreeze

__all__ = [
    "RECIPES",
    "CSVLog",
    "Callback",
    "Checkpoints",
    "Curves",
    "EarlyStopping",
    "EpochLines",
    "Evaluation",
    "JSONLog",
    "Profile",
    "ProgressBar",
    "Recipe",
    "Trainer",
    "classification_loss",
    "features",
    "fine_tune",
    "freeze",
    "load_checkpoint",
    "parameter_groups",
    "profile",
    "recipe",
    "replace_head",
    "save_checkpoint",
    "unfreeze",
]
