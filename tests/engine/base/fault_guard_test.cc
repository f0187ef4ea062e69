#include "engine/base/fault_guard.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

namespace hearth {
namespace {

// Three pages of a file full of ones, mapped.
class MappedOnes {
 public:
  MappedOnes() : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))), file_(std::tmpfile()) {
    const std::vector<uint8_t> ones(size(), 1);
    EXPECT_EQ(write(fileno(file_), ones.data(), ones.size()), static_cast<ssize_t>(ones.size()));
    data_ = static_cast<const uint8_t*>(mmap(nullptr, size(), PROT_READ, MAP_SHARED, fileno(file_), 0));
  }
  ~MappedOnes() {
    munmap(const_cast<uint8_t*>(data_), size());
    std::fclose(file_);
  }

  size_t size() const { return 3 * page_; }
  const uint8_t* data() const { return data_; }
  void CutToOnePage() { ASSERT_EQ(ftruncate(fileno(file_), static_cast<off_t>(page_)), 0); }

 private:
  const size_t page_;
  std::FILE* const file_;
  const uint8_t* data_;
};

// A read that the compiler does not leave out.
uint8_t Read(const uint8_t* at) { return *static_cast<const volatile uint8_t*>(at); }

TEST(FaultGuardTest, WhatIsThereIsRead) {
  MappedOnes ones;
  const auto guard = FaultGuard::Watch(ones.data(), ones.size());
  ASSERT_TRUE(guard.ok()) << guard.status();
  EXPECT_EQ(Read(ones.data() + ones.size() - 1), 1);
  EXPECT_FALSE(guard->faulted());
}

TEST(FaultGuardTest, WhatIsGoneReadsAsZerosAndIsTold) {
  MappedOnes ones, others;
  const auto guard = FaultGuard::Watch(ones.data(), ones.size());
  const auto other_guard = FaultGuard::Watch(others.data(), others.size());
  ASSERT_TRUE(guard.ok() && other_guard.ok());
  ones.CutToOnePage();
  EXPECT_EQ(Read(ones.data()), 1);
  EXPECT_FALSE(guard->faulted());
  EXPECT_EQ(Read(ones.data() + ones.size() - 1), 0);
  EXPECT_TRUE(guard->faulted());
  EXPECT_EQ(Read(ones.data()), 0);
  EXPECT_EQ(Read(others.data()), 1);
  EXPECT_FALSE(other_guard->faulted());
}

TEST(FaultGuardTest, PlacesOfGuardsThatAreGoneAreUsedAgain) {
  MappedOnes ones;
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(FaultGuard::Watch(ones.data(), ones.size()).ok());
  std::vector<FaultGuard> guards;
  absl::Status full;
  for (int i = 0; i < 2000 && full.ok(); ++i) {
    absl::StatusOr<FaultGuard> guard = FaultGuard::Watch(ones.data(), ones.size());
    full = guard.status();
    if (guard.ok()) guards.push_back(*std::move(guard));
  }
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
}

TEST(FaultGuardDeathTest, FaultsOfOthersEndTheProcess) {
  MappedOnes ones, unguarded;
  const auto guard = FaultGuard::Watch(ones.data(), ones.size());
  ASSERT_TRUE(guard.ok());
  unguarded.CutToOnePage();
  EXPECT_DEATH(Read(unguarded.data() + unguarded.size() - 1), "");
}

}  // namespace
}  // namespace hearth
