from tools.models.tool import Tool, ToolType
from tools.models.tool_vector import ToolVector
from tools.models.tool_version import ToolVersion

__all__ = ["Tool", "ToolType", "ToolVector", "ToolVersion"]
