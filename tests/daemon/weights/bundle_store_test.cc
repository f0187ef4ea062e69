#include "daemon/weights/bundle_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

std::vector<uint8_t> Bytes(size_t count, uint8_t first) {
  std::vector<uint8_t> bytes(count);
  std::iota(bytes.begin(), bytes.end(), first);
  return bytes;
}

class BundleStoreTest : public ::testing::Test {
 protected:
  BundleStoreTest() : dir_(absl::StrCat(::testing::TempDir(), "/store-", ::getpid(), "-", counter_++)) {}
  ~BundleStoreTest() override { fs::remove_all(dir_); }

  std::unique_ptr<BundleStore> Open(uint64_t max_bytes = 0) {
    return BundleStore::Open(dir_, max_bytes).value();
  }
  std::string EntryPath(const Sha256Digest& sha256) const {
    const std::string hex = Sha256Hex(sha256);
    return absl::StrCat(dir_, "/sha256/", hex.substr(0, 2), "/", hex);
  }
  static void Put(BundleStore& store, const std::vector<uint8_t>& bytes) {
    ASSERT_TRUE(store.Append(Sha256Of(bytes), 0, bytes).ok());
    ASSERT_TRUE(store.Finish(Sha256Of(bytes), bytes.size()).ok());
  }

  const std::string dir_;
  static inline int counter_ = 0;
};

TEST_F(BundleStoreTest, BundleThatArrivedInPiecesIsReadBackAfterARestart) {
  const std::vector<uint8_t> bundle = Bytes(1000, 1);
  const Sha256Digest sha256 = Sha256Of(bundle);
  auto store = Open();
  EXPECT_TRUE(store->Append(sha256, 0, absl::MakeSpan(bundle).first(600)).ok());
  EXPECT_EQ(store->PartialBytes(sha256), 600);
  store = Open();  // the daemon was restarted in between
  EXPECT_EQ(store->PartialBytes(sha256), 600);
  EXPECT_FALSE(store->Has(sha256, 1000));
  EXPECT_TRUE(store->Append(sha256, 600, absl::MakeSpan(bundle).subspan(600)).ok());
  EXPECT_TRUE(store->Finish(sha256, 1000).ok());
  store = Open();
  EXPECT_TRUE(store->Has(sha256, 1000));
  EXPECT_EQ(store->Read(sha256, 1000).value(), bundle);
  EXPECT_EQ(store->counters().cached_bundles, 1);
  EXPECT_EQ(store->counters().fetched_bytes, 0);
}

TEST_F(BundleStoreTest, PieceAtTheWrongPlaceIsRefused) {
  const std::vector<uint8_t> bundle = Bytes(100, 1);
  auto store = Open();
  EXPECT_TRUE(store->Append(Sha256Of(bundle), 0, bundle).ok());
  EXPECT_EQ(store->Append(Sha256Of(bundle), 50, bundle).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store->Append(Sha256Of(bundle), 101, bundle).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(BundleStoreTest, BundleThatArrivedDamagedIsThrownAway) {
  const std::vector<uint8_t> bundle = Bytes(100, 1);
  const Sha256Digest other = Sha256Of(Bytes(100, 2));
  auto store = Open();
  EXPECT_TRUE(store->Append(other, 0, bundle).ok());
  EXPECT_EQ(store->Finish(other, 100).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store->PartialBytes(other), 0);
  EXPECT_FALSE(store->Has(other, 100));
  EXPECT_EQ(store->counters().discarded_bundles, 1);
}

TEST_F(BundleStoreTest, BundleOfTheWrongSizeIsThrownAway) {
  const std::vector<uint8_t> bundle = Bytes(100, 1);
  auto store = Open();
  EXPECT_TRUE(store->Append(Sha256Of(bundle), 0, bundle).ok());
  EXPECT_EQ(store->Finish(Sha256Of(bundle), 99).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store->PartialBytes(Sha256Of(bundle)), 0);
}

TEST_F(BundleStoreTest, EntryThatWasDamagedOnDiskCountsAsAbsent) {
  const std::vector<uint8_t> bundle = Bytes(100, 1);
  const Sha256Digest sha256 = Sha256Of(bundle);
  Put(*Open(), bundle);
  std::fstream(EntryPath(sha256), std::ios::in | std::ios::out | std::ios::binary).put('x');
  auto store = Open();
  EXPECT_EQ(store->Read(sha256, 100).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(store->Has(sha256, 100));
  EXPECT_FALSE(fs::exists(EntryPath(sha256)));
  EXPECT_EQ(store->counters().discarded_bundles, 1);
  Put(*store, bundle);  // fetched again
  EXPECT_EQ(store->Read(sha256, 100).value(), bundle);
}

TEST_F(BundleStoreTest, TruncatedEntryCountsAsAbsent) {
  const std::vector<uint8_t> bundle = Bytes(100, 1);
  Put(*Open(), bundle);
  fs::resize_file(EntryPath(Sha256Of(bundle)), 40);
  auto store = Open();
  EXPECT_FALSE(store->Has(Sha256Of(bundle), 100));
  EXPECT_EQ(store->Read(Sha256Of(bundle), 100).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BundleStoreTest, StrayFilesAreLeftAloneAndNotCounted) {
  Put(*Open(), Bytes(100, 1));
  std::ofstream(dir_ + "/sha256/README") << "not a bundle";
  EXPECT_EQ(Open()->stored_bytes(), 100);
}

TEST_F(BundleStoreTest, FullCacheDropsWhatWasNotReadForLongest) {
  const std::vector<uint8_t> a = Bytes(100, 1), b = Bytes(100, 2), c = Bytes(100, 3);
  auto store = Open(250);
  Put(*store, a);
  Put(*store, b);
  ASSERT_TRUE(store->Read(Sha256Of(a), 100).ok());
  Put(*store, c);
  EXPECT_TRUE(store->Has(Sha256Of(a), 100));
  EXPECT_FALSE(store->Has(Sha256Of(b), 100));
  EXPECT_TRUE(store->Has(Sha256Of(c), 100));
  EXPECT_LE(store->stored_bytes(), 250);
}

TEST_F(BundleStoreTest, ProtectedBundlesStayAndTheCacheSaysThatItIsFull) {
  const std::vector<uint8_t> a = Bytes(100, 1), b = Bytes(100, 2);
  auto store = Open(150);
  Put(*store, a);
  store->Protect({Sha256Of(a), Sha256Of(b)});
  EXPECT_EQ(store->Append(Sha256Of(b), 0, b).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(store->Has(Sha256Of(a), 100));
  store->Protect({Sha256Of(b)});
  Put(*store, b);
  EXPECT_FALSE(store->Has(Sha256Of(a), 100));
}

TEST_F(BundleStoreTest, DirectoryThatCannotBeMadeIsAClearError) {
  const auto store = BundleStore::Open("/proc/hearth-cannot-be", 0);
  EXPECT_EQ(store.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(store.status().message().find("/proc/hearth-cannot-be"), std::string::npos);
}

}  // namespace
}  // namespace hearth
