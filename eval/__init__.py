"""Evaluation of multimodal reward models: pair -> prompt -> generation -> verdict -> score."""
