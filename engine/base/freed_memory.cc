#include "engine/base/freed_memory.h"

#include <malloc.h>

namespace hearth {

void ReturnFreedMemory() { malloc_trim(0); }

}  // namespace hearth
