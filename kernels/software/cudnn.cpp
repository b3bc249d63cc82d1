#include "device.h"
namespace soft { size_t liveCudnnObjects() { return 0; } void forgetCudnn() {} }
