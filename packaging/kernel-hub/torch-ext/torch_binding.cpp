// Makes the library a Python module, by whose import the kernels are registered. The header is
// kernel-builder's.
#include "registration.h"

REGISTER_EXTENSION(TORCH_EXTENSION_NAME)
