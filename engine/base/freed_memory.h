#ifndef HEARTH_ENGINE_BASE_FREED_MEMORY_H_
#define HEARTH_ENGINE_BASE_FREED_MEMORY_H_

namespace hearth {

// Gives the pages that have been freed back to the system; the allocator would keep those between pieces that
// are still in use, in an arena of every thread. For the end of something large, such as a model: takes some
// milliseconds, during which others may have to wait for memory. Thread-safe.
void ReturnFreedMemory();

// Lets the allocator keep fewer pools of memory than one for each thread that comes and goes, and little in
// each of what its threads have freed: left alone it holds on to twice the largest piece that was ever given
// back, once for each pool. For a process that runs for months. Before the first thread.
void KeepFewPools();

// How a std::shared_ptr deletes something large: whoever is the last to let go of it, the system has its
// memory back.
template <class T>
void DeleteAndReturnMemory(T* large) {
  delete large;
  ReturnFreedMemory();
}

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_FREED_MEMORY_H_
