#ifndef HEARTH_TESTS_CUDA_EMU_EMULATOR_H_
#define HEARTH_TESTS_CUDA_EMU_EMULATOR_H_

#include <cstddef>
#include <cstdint>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/device_functions.h"
#include "tests/cuda_emu/half.h"
#include "tests/cuda_emu/runtime.h"
#include "tests/cuda_emu/vector_types.h"

// CUDA on the CPU, for tests: the same .cu file that nvcc compiles is compiled by g++ or clang against this
// header. Each CUDA thread is a fiber; a block runs on one OS thread; operations of a warp or block are
// meetings at which the emulator checks masks, exited lanes and divergence. Memory starts as bytes of 0xff
// (NaN). Streams run as late as CUDA allows. Device memory is closed to host code. Found bugs are reported
// with their line (emulator_control.h).
//
// All names are in hearth::cuda_emu, so that a program may hold the real CUDA runtime as well; a header that
// kernels include says `using namespace hearth::cuda_emu` inside the project's namespace. Only the macros
// below are global.
//
// What it cannot show: speed, occupancy, bank conflicts; races between blocks, which run one after the other;
// weak memory order; kernels that read host memory other than through a pointer argument. A host thread that
// touches device memory while another one runs device work is not caught.

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

#define threadIdx (::hearth::cuda_emu::internal::current_thread->thread)
#define blockIdx (::hearth::cuda_emu::internal::current_thread->block)
#define blockDim (::hearth::cuda_emu::internal::current_thread->block_dim)
#define gridDim (::hearth::cuda_emu::internal::current_thread->grid_dim)

// A barrier of the block. Each place in the text has its own number: a block may not wait at two of them.
#define __syncthreads()                    \
  ::hearth::cuda_emu::internal::SyncBlock( \
      ::hearth::cuda_emu::internal::Location{__FILE__, __LINE__, __func__, __COUNTER__ + 1})

// Declares `name` as a static shared object of type T, which is an array as HEARTH_SHARED(float[128], name).
#define HEARTH_SHARED(T, name)           \
  static const char name##_shared_key{}; \
  auto& name = ::hearth::cuda_emu::internal::SharedObject<T>(&name##_shared_key)

// Declares `name` as a T* to the block's dynamic shared memory, aligned to 16 bytes.
#define HEARTH_DYNAMIC_SHARED(T, name) \
  T* const name = static_cast<T*>(::hearth::cuda_emu::internal::DynamicShared())

#endif  // HEARTH_TESTS_CUDA_EMU_EMULATOR_H_
