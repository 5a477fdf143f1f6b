"""Case attachments: parsed, applied and stored."""
