from letta_ade.accounts.models.api_key import ApiKey
from letta_ade.accounts.models.member import Member, Role
from letta_ade.accounts.models.user import User
from letta_ade.accounts.models.workspace import Workspace

__all__ = ["ApiKey", "Member", "Role", "User", "Workspace"]
