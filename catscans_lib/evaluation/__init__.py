"""From saved predictions to AUCs, transfer scores, their uncertainty and comparisons, and the tables that show them."""

from catscans_lib.evaluation.curves import best_and_baseline, calibration, roc_bands
from catscans_lib.evaluation.pairs import comparisons, effects, ranks
from catscans_lib.evaluation.tables import (
    auc_table,
    aucs,
    class_aucs,
    completeness,
    fold_metrics,
    shared_modes,
    summary,
    transfer_scores,
)
from catscans_lib.evaluation.uncertainty import auc_intervals, draws, score_intervals
from catscans_lib.statistics.auc import auc, transfer_score

__all__ = [
    "auc",
    "auc_intervals",
    "auc_table",
    "aucs",
    "best_and_baseline",
    "calibration",
    "class_aucs",
    "comparisons",
    "completeness",
    "draws",
    "effects",
    "fold_metrics",
    "ranks",
    "roc_bands",
    "score_intervals",
    "shared_modes",
    "summary",
    "transfer_score",
    "transfer_scores",
]
