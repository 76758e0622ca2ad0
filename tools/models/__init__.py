from tools.models.tool import Tool, ToolType

__all__ = ["Tool", "ToolType"]
