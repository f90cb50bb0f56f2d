"""Runs a command whose memory cannot become executable, as MemoryDenyWriteExecute=yes does."""

import ctypes
import os
import sys

PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1

ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)  # older kernels do not know it
os.execvp(sys.argv[1], sys.argv[1:])
