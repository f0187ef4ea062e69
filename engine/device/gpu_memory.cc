#include "engine/device/gpu_memory.h"

#include "absl/strings/str_cat.h"
#include "engine/base/checked.h"

namespace hearth {
namespace {

std::string NameOf(gpu::GpuKind kind, int number) {
  return absl::StrCat(kind == gpu::GpuKind::kCuda ? "CUDA device " : "emulated GPU ", number);
}

}  // namespace

GpuBuffer::~GpuBuffer() {
  if (memory_ != nullptr) memory_->Free(data_, bytes_);
}

absl::StatusOr<std::shared_ptr<GpuMemory>> GpuMemory::Open(gpu::GpuKind kind, int number,
                                                           uint64_t budget_bytes) {
  std::string why;
  std::unique_ptr<gpu::Gpu> gpu = gpu::OpenGpu(kind, number, &why);
  if (gpu == nullptr) return absl::UnavailableError(absl::StrCat("no ", NameOf(kind, number), ": ", why));
  const uint64_t free_bytes = gpu->info().free_bytes;
  if (budget_bytes > free_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(NameOf(kind, number), " has ", free_bytes,
                                                     " bytes free, which is less than the ", budget_bytes,
                                                     " bytes that are offered of it"));
  }
  return std::shared_ptr<GpuMemory>(new GpuMemory(kind, number, budget_bytes, std::move(gpu)));
}

GpuMemory::GpuMemory(gpu::GpuKind kind, int number, uint64_t budget_bytes, std::unique_ptr<gpu::Gpu> gpu)
    : kind_(kind), number_(number), budget_bytes_(budget_bytes), info_(gpu->info()), gpu_(std::move(gpu)) {}

uint64_t GpuMemory::used_bytes() const {
  MutexLock lock(&mutex_);
  return used_bytes_;
}

absl::StatusOr<GpuBuffer> GpuMemory::Allocate(uint64_t bytes) {
  const uint64_t pages = bytes / kPageBytes + (bytes % kPageBytes != 0 || bytes == 0);
  const uint64_t rounded = CheckedMul(pages, kPageBytes).value_or(UINT64_MAX);
  MutexLock lock(&mutex_);
  if (rounded > budget_bytes_ - used_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat(NameOf(kind_, number_), ": ", rounded,
                                                     " bytes are needed, ", budget_bytes_ - used_bytes_,
                                                     " of its budget of ", budget_bytes_, " are left"));
  }
  GpuBuffer buffer;
  buffer.data_ = gpu_->Allocate(rounded);
  if (buffer.data_ == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat(NameOf(kind_, number_), ": no memory for ", rounded, " bytes, although its budget has ",
                     budget_bytes_ - used_bytes_, " left: another program uses it"));
  }
  buffer.bytes_ = rounded;
  buffer.memory_ = shared_from_this();
  used_bytes_ += rounded;
  return buffer;
}

void GpuMemory::Free(void* data, uint64_t bytes) {
  MutexLock lock(&mutex_);
  gpu_->Free(data);
  used_bytes_ -= bytes;
}

absl::StatusOr<std::unique_ptr<gpu::Gpu>> GpuMemory::OpenStream() const {
  std::string why;
  std::unique_ptr<gpu::Gpu> gpu = gpu::OpenGpu(kind_, number_, &why);
  if (gpu == nullptr) return absl::UnavailableError(absl::StrCat(NameOf(kind_, number_), ": ", why));
  return gpu;
}

}  // namespace hearth
