#include "daemon/scheduling/models_on_demand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/daemon/serving/fakes.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class NoSink final : public GenerationSink {
 public:
  void Started() override {}
  void Delta(GenerationDelta) override {}
  void Finished(const GenerationSummary&) override {}
  void Failed(const absl::Status&) override {}
  bool Blocked() const override { return false; }
};

class ModelsOnDemandTest : public testing::Test {
 protected:
  ModelsOnDemandTest()
      : dir_(absl::StrCat(testing::TempDir(), "models-", ::getpid(), "-",
                          testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(dir_);
  }
  ~ModelsOnDemandTest() override {
    pool_.StopAll(absl::UnavailableError("the test is over"));
    std::filesystem::remove_all(dir_);
  }

  void AddFile(const std::string& name) { std::ofstream(dir_ + "/" + name) << "GGUF"; }
  static std::shared_ptr<FakeModel> Model(const std::string& name) {
    return std::make_shared<FakeModel>(Bytes("abc"), FakeModel::SmallOptions(), name);
  }
  void Fail(const std::string& name, const absl::Status& error) {
    ModelInfo info;
    info.name = name;
    info.state = ModelState::kFailed;
    info.error = error;
    host_.Update(info);
  }
  // Asks for a model; what came of it lies in the result once it is known.
  using Answer = std::shared_ptr<std::optional<absl::StatusOr<std::shared_ptr<Scheduler>>>>;
  Answer Ask(const std::string& name, absl::Time deadline = absl::InfiniteFuture()) {
    auto answer = std::make_shared<Answer::element_type>();
    models_.Find(name, deadline, [answer](auto scheduler) {
      EXPECT_FALSE(answer->has_value()) << "once";
      *answer = std::move(scheduler);
    });
    return answer;
  }
  // A model of the directory that is ready.
  std::shared_ptr<FakeModel> AddLoaded(const std::string& name) {
    AddFile(name + ".gguf");
    const Answer answer = Ask(name);
    auto model = Model(name);
    host_.Add(model);
    models_.Look(absl::Now());
    EXPECT_TRUE(answer->has_value() && (*answer)->ok());
    return model;
  }
  bool IsThere(const std::string& name) const {
    for (const ModelInfo& model : host_.List()) {
      if (model.name == name) return true;
    }
    return false;
  }

  const std::string dir_;
  FakeModelHost host_;
  SchedulerPool pool_{host_, {}};
  ModelsOnDemand models_{pool_, {&host_, dir_, absl::Minutes(30)}};
};

TEST_F(ModelsOnDemandTest, RequestWaitsUntilItsModelIsLoaded) {
  AddFile("m.gguf");
  const Answer first = Ask("m"), second = Ask("m");
  EXPECT_EQ(host_.List().size(), 1u);
  EXPECT_EQ(host_.List()[0].path, dir_ + "/m.gguf");
  models_.Look(absl::Now());
  EXPECT_FALSE(first->has_value());
  host_.Add(Model("m"));
  models_.Look(absl::Now());
  ASSERT_TRUE(first->has_value() && second->has_value());
  EXPECT_EQ((**first).value()->model().name(), "m");
  EXPECT_EQ((**first).value(), (**second).value());
  EXPECT_TRUE(Ask("m")->has_value()) << "at once";
}

TEST_F(ModelsOnDemandTest, WhatIsNotInTheDirectoryIsNotFoundAtOnce) {
  AddFile("m.gguf");
  AddFile("half.gguf.part");
  AddFile("notes.txt");
  std::filesystem::create_directories(dir_ + "/folder.gguf");
  std::filesystem::create_directories(dir_ + "/sub");
  AddFile("sub/x.gguf");
  for (const char* name : {"half", "half.gguf", "notes", "folder", "x", "sub/x", "../m", "m.gguf"}) {
    const Answer answer = Ask(name);
    ASSERT_TRUE(answer->has_value()) << name;
    EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kNotFound) << name;
  }
  EXPECT_THAT(models_.Available(), ElementsAre("m"));
  EXPECT_THAT(host_.List(), IsEmpty());
}

TEST_F(ModelsOnDemandTest, OnlyModelNeedsNoName) {
  AddFile("m.gguf");
  EXPECT_FALSE(Ask("")->has_value());
  EXPECT_TRUE(IsThere("m"));
}

TEST_F(ModelsOnDemandTest, OneOfSeveralNeedsItsName) {
  AddFile("m.gguf");
  AddFile("n.gguf");
  const Answer answer = Ask("");
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelsOnDemandTest, PartsOfASplitModelAreOne) {
  AddFile("big-00001-of-00002.gguf");
  AddFile("big-00002-of-00002.gguf");
  EXPECT_THAT(models_.Available(), ElementsAre("big"));
  Ask("big");
  EXPECT_EQ(host_.List()[0].path, dir_ + "/big-00001-of-00002.gguf");
  EXPECT_THAT(models_.Available(), IsEmpty());
}

TEST_F(ModelsOnDemandTest, ModelThatCannotBeLoadedIsTriedAgainForTheNextWhoAsks) {
  AddFile("m.gguf");
  const Answer answer = Ask("m"), second = Ask("m");
  Fail("m", absl::DataLossError("it is cut off"));
  models_.Look(absl::Now());
  ASSERT_TRUE(answer->has_value());
  EXPECT_FALSE((*answer)->ok());
  ASSERT_TRUE(second->has_value()) << "not loaded once for each who waits";
  EXPECT_FALSE((*second)->ok());
  EXPECT_FALSE(IsThere("m"));
  EXPECT_FALSE(Ask("m")->has_value());
  EXPECT_TRUE(IsThere("m"));
}

TEST_F(ModelsOnDemandTest, WhatHasGoneWithoutRequestsForLongestMakesRoom) {
  AddLoaded("a");
  AddLoaded("b");
  AddFile("m.gguf");
  const absl::Time now = absl::Now() + absl::Minutes(1);
  const Answer answer = Ask("m");
  Fail("m", absl::ResourceExhaustedError("4 GiB are missing"));
  models_.Look(absl::Now());
  EXPECT_TRUE(IsThere("a") && IsThere("b")) << "they were found a moment ago";
  models_.Look(now);
  EXPECT_FALSE(IsThere("a"));
  models_.Look(now + absl::Seconds(1));
  EXPECT_TRUE(IsThere("b")) << "the room may do";
  models_.Look(now + absl::Seconds(10));
  EXPECT_FALSE(IsThere("b")) << "it does not";
  EXPECT_FALSE(answer->has_value());
  models_.Look(now + absl::Seconds(20));
  ASSERT_TRUE(answer->has_value()) << "nobody is left";
  EXPECT_FALSE((*answer)->ok());
}

TEST_F(ModelsOnDemandTest, ModelWithRequestsDoesNotGiveWay) {
  const std::shared_ptr<FakeModel> busy = AddLoaded("busy");
  busy->SetReady(absl::UnavailableError("its host is lost"));
  GenerationRequest request;
  request.id = 1;
  request.prompt = Bytes("x");
  request.max_tokens = 5;
  request.arrived = absl::Now();
  const auto scheduler = pool_.Find("busy");
  ASSERT_TRUE((*scheduler)->Submit(request, *Sampler::Create({}, 258), std::make_shared<NoSink>()).ok());
  AddFile("m.gguf");
  const Answer answer = Ask("m");
  Fail("m", absl::ResourceExhaustedError("4 GiB are missing"));
  models_.Look(absl::Now() + absl::Hours(2));
  EXPECT_TRUE(IsThere("busy"));
  EXPECT_FALSE(answer->has_value());
  (*scheduler)->Cancel(1);
  while ((*scheduler)->usage().running + (*scheduler)->usage().waiting > 0) std::this_thread::yield();
  models_.Look(absl::Now() + absl::Hours(3));
  EXPECT_FALSE(IsThere("busy"));
}

TEST_F(ModelsOnDemandTest, ModelsLoadedOtherwiseNeverGiveWay) {
  host_.Add(Model("own"));
  EXPECT_TRUE(Ask("own")->has_value());
  AddFile("m.gguf");
  const Answer answer = Ask("m");
  Fail("m", absl::ResourceExhaustedError("4 GiB are missing"));
  models_.Look(absl::Now() + absl::Hours(2));
  EXPECT_TRUE(IsThere("own"));
  ASSERT_TRUE(answer->has_value());
  EXPECT_FALSE((*answer)->ok());
}

TEST_F(ModelsOnDemandTest, ModelNobodyAsksForIsUnloaded) {
  AddLoaded("m");
  models_.Look(absl::Now() + absl::Minutes(29));
  EXPECT_TRUE(IsThere("m"));
  models_.Look(absl::Now() + absl::Minutes(31));
  EXPECT_FALSE(IsThere("m"));
  EXPECT_THAT(models_.Available(), ElementsAre("m"));
  EXPECT_FALSE(Ask("m")->has_value()) << "it is loaded again";
}

TEST_F(ModelsOnDemandTest, RequestEndsAtItsDeadline) {
  AddFile("m.gguf");
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  const Answer answer = Ask("m", deadline);
  models_.Look(deadline - absl::Seconds(1));
  EXPECT_FALSE(answer->has_value());
  models_.Look(deadline);
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ModelsOnDemandTest, OnlySoManyWait) {
  AddFile("m.gguf");
  for (size_t i = 0; i < ModelsOnDemand::kMostWaiting; ++i) EXPECT_FALSE(Ask("m")->has_value());
  const Answer answer = Ask("m");
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ModelsOnDemandTest, ThoseWhoWaitHearOfTheEnd) {
  AddFile("m.gguf");
  const Answer answer = Ask("m");
  models_.Stop(absl::UnavailableError("the daemon is stopping"));
  ASSERT_TRUE(answer->has_value());
  EXPECT_THAT(std::string((*answer)->status().message()), HasSubstr("stopping"));
  EXPECT_EQ((*Ask("m"))->status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ModelsOnDemandTest, WithoutADirectoryModelsAreFoundAsTheyAre) {
  ModelsOnDemand none(pool_, {});
  bool found = false;
  none.Find("m", absl::InfiniteFuture(), [&](auto scheduler) {
    found = true;
    EXPECT_EQ(scheduler.status().code(), absl::StatusCode::kNotFound);
  });
  EXPECT_TRUE(found);
  none.Look(absl::Now());
  EXPECT_THAT(none.Available(), IsEmpty());
}

}  // namespace
}  // namespace hearth
