"""The orchestrator: takes requests in, carries recipes out with the help of models, keeps what they make."""
