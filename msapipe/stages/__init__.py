"""Stages compute one slot of a clip. One file per stage, in the folder of the slot that it fills."""

from msapipe.registry import Registry
from msapipe.stages._base import CHAINS, INPUTS, LATER, MODALITIES, SLOTS, CheckpointStage, NeuralStage, Stage

STAGES: dict[str, Registry[Stage]] = {
    slot: Registry(
        f"{slot} stage",
        f"msapipe.stages.{slot}",
        Stage,  # type: ignore[type-abstract]  # the registry returns classes and instantiates none
        f"msapipe.{slot}",
    )
    for slot in SLOTS
}

__all__ = ["CHAINS", "INPUTS", "LATER", "MODALITIES", "SLOTS", "STAGES", "CheckpointStage", "NeuralStage", "Stage"]
