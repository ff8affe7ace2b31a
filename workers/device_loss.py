"""How CUDA says that a device is gone: errors after which no call on it succeeds in that process (cudaError_t)."""

# Codes 46, 214, 220, 700, 702, 714–719, 721, 801 …: "the process must be terminated and relaunched" in NVIDIA's list.
# An address that is not allowed may be a kernel's fault too; a probe then sees that the device is well.
_MARKS = (
    "CUDA_ERROR_DEVICE_UNAVAILABLE",
    "CUDA_ERROR_ECC_UNCORRECTABLE",
    "CUDA_ERROR_NVLINK_UNCORRECTABLE",
    "CUDA_ERROR_CONTAINED",
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_NO_DEVICE",
    "CUDA_ERROR_SYSTEM_NOT_READY",
    "CUDA_ERROR_EXTERNAL_DEVICE",
)

# A trainer ends with this code when its device fails it: the job is not to blame, and the device is looked at.
DEVICE_LOST_CODE = 20


def says_device_lost(text: str) -> bool:
    """Return whether an error's text, or the end of a log, holds one of CUDA's words for a device that is gone."""
    return any(mark in text for mark in _MARKS)
