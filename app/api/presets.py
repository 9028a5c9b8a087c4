"""Presets: recipes to start from."""

from fastapi import APIRouter

router = APIRouter(prefix="/presets", tags=["presets"])
