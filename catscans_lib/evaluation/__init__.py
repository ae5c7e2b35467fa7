"""From saved predictions to AUCs, transfer scores and the tables that show them."""

from catscans_lib.evaluation.auc import auc, transfer_score
from catscans_lib.evaluation.tables import (
    all_aucs,
    auc_table,
    aucs,
    shared_modes,
    summary,
    transfer_scores,
)

__all__ = ["all_aucs", "auc", "auc_table", "aucs", "shared_modes", "summary", "transfer_score", "transfer_scores"]
