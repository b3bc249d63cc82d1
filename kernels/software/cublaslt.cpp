#include "device.h"
namespace soft { size_t liveCublasObjects() { return 0; } void forgetCublas() {} }
