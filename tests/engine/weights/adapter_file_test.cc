#include "engine/weights/adapter_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/engine/model/tiny_model.h"
#include "tests/support/lora_file.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kQuery[] = "blk.0.attn_q.weight";

class AdapterFileTest : public ::testing::Test {
 protected:
  // Why the adapter of `lora` is refused.
  std::string Refusal(const LoraFile& lora, float scale = 1) const {
    const absl::Status status = OpenAdapters({{lora.Write("refused.gguf"), scale}}, *model_).status();
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  }

  const std::shared_ptr<const GgufFile> model_ = *TinyModel().Build();
  LoraFile lora_{*model_, 4, {"attn_q", "ffn_down"}};
};

TEST_F(AdapterFileTest, JoinsHalvesInFloat32WithTheFactorInTheSecond) {
  const auto joined = OpenAdapters({{lora_.Write("joined.gguf"), 0.5f}}, *model_);
  ASSERT_TRUE(joined.ok()) << joined.status();
  const GgufTensor* a = (*joined)->FindTensor(std::string(kQuery) + ".lora_a");
  const GgufTensor* b = (*joined)->FindTensor(std::string(kQuery) + ".lora_b");
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_EQ(a->shape(), (std::vector<uint64_t>{32, 4}));
  EXPECT_EQ(b->shape(), (std::vector<uint64_t>{4, 32}));
  const auto first = [](const GgufTensor& tensor) {
    return *reinterpret_cast<const float*>(tensor.data.data());
  };
  EXPECT_EQ(first(*a), lora_.values(a->name)[0]);
  EXPECT_EQ(first(*b), 0.5f * LoraFile::kAlpha / 4 * lora_.values(b->name)[0]);
}

TEST_F(AdapterFileTest, DigestTellsScalesAndValuesApart) {
  const auto digest = [&](float scale) {
    const auto joined = *OpenAdapters({{lora_.Write("digest.gguf"), scale}}, *model_);
    return **joined->metadata().GetString(kAdapterDigestKey);
  };
  const std::string one = digest(1);
  EXPECT_EQ(digest(1), one);
  EXPECT_NE(digest(0.5f), one);
  lora_.values(std::string(kQuery) + ".lora_a")[5] += 1;
  EXPECT_NE(digest(1), one);
}

TEST_F(AdapterFileTest, WithoutSourcesThereIsNone) {
  const auto none = OpenAdapters({}, *model_);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(*none, nullptr);
}

TEST_F(AdapterFileTest, RefusesWhatIsNoLoraAdapter) {
  lora_.Set("adapter.type", std::string("control_vector"));
  EXPECT_THAT(Refusal(lora_), HasSubstr("is no LoRA adapter"));
  EXPECT_EQ(OpenAdapters({{"/nowhere/adapter.gguf"}}, *model_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(AdapterFileTest, RefusesTheModelItself) {
  LoraFile model(*model_, 1, {});
  model.Set("general.type", std::string("model"));
  EXPECT_THAT(Refusal(model), HasSubstr("is no LoRA adapter"));
}

TEST_F(AdapterFileTest, RefusesAnAdapterOfAnotherArchitectureNamingBoth) {
  lora_.Set("general.architecture", std::string("gemma2"));
  EXPECT_THAT(Refusal(lora_),
              AllOf(HasSubstr("gemma2"), HasSubstr("llama"), HasSubstr("made for this model")));
}

TEST_F(AdapterFileTest, RefusesAnAdapterForAPartOfTheText) {
  lora_.Set("adapter.alora.invocation_tokens", std::vector<uint64_t>{1, 2});
  EXPECT_THAT(Refusal(lora_), HasSubstr("aLoRA"));
}

TEST_F(AdapterFileTest, RefusesTensorsThatTheModelLacks) {
  lora_.Add("blk.7.attn_q.weight", 32, 32, 4);
  EXPECT_THAT(Refusal(lora_), AllOf(HasSubstr("blk.7.attn_q.weight"), HasSubstr("does not have")));
}

TEST_F(AdapterFileTest, RefusesTensorsThatCannotBeAdaptedNamingThem) {
  for (const char* name : {"token_embd.weight", "output.weight", "blk.0.ffn_up_exps.weight",
                           "blk.0.attn_kv_b.weight", "blk.0.ffn_gate_inp.weight", "blk.weight"}) {
    LoraFile lora = lora_;
    lora.Add(name, 32, 32, 4);
    EXPECT_THAT(Refusal(lora), AllOf(HasSubstr(name), HasSubstr("are supported"))) << name;
  }
  lora_.AddTensor("blk.0.attn_norm.weight", {32, 1});
  EXPECT_THAT(Refusal(lora_), HasSubstr("attn_norm"));
}

TEST_F(AdapterFileTest, RefusesShapesThatDoNotFit) {
  const std::string a = std::string(kQuery) + ".lora_a", b = std::string(kQuery) + ".lora_b";
  const std::vector<std::pair<std::string, std::vector<uint64_t>>> wrong = {
      {a, {31, 4}}, {a, {32, 5}}, {b, {4, 33}}, {b, {5, 32}}, {b, {32, 4}}};
  for (const auto& [name, shape] : wrong) {
    LoraFile lora = lora_;
    lora.AddTensor(name, shape);
    EXPECT_THAT(Refusal(lora), AllOf(HasSubstr(kQuery), HasSubstr("wants {32, rank} and {rank, 32}")))
        << name;
  }
}

TEST_F(AdapterFileTest, RefusesHalfATensor) {
  lora_.EraseTensor(std::string(kQuery) + ".lora_b");
  EXPECT_THAT(Refusal(lora_), HasSubstr("one half"));
}

TEST_F(AdapterFileTest, RefusesAnAdapterWithoutTensors) {
  EXPECT_THAT(Refusal(LoraFile(*model_, 4, {})), HasSubstr("no tensors"));
}

TEST_F(AdapterFileTest, RefusesFactorsAndValuesThatAreNotFinite) {
  LoraFile alpha = lora_;
  alpha.Set("adapter.lora.alpha", std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(Refusal(alpha), HasSubstr("no finite number"));
  EXPECT_THAT(Refusal(lora_, std::numeric_limits<float>::infinity()), HasSubstr("no finite number"));
  LoraFile words = lora_;
  words.Set("adapter.lora.alpha", std::string("much"));
  EXPECT_THAT(Refusal(words), HasSubstr("adapter.lora.alpha"));
  for (const char* half : {".lora_a", ".lora_b"}) {
    LoraFile lora = lora_;
    lora.values(std::string(kQuery) + half)[3] = std::nanf("");
    EXPECT_THAT(Refusal(lora), AllOf(HasSubstr(kQuery), HasSubstr("not finite"))) << half;
  }
}

TEST_F(AdapterFileTest, RefusesACutFile) {
  const std::string path = lora_.Write("cut.gguf");
  ASSERT_EQ(truncate(path.c_str(), 700), 0);
  EXPECT_FALSE(OpenAdapters({{path}}, *model_).ok());
}

TEST(AdapterSourceTest, ReadsPathAndScale) {
  EXPECT_EQ(*ParseAdapterSource("a.gguf"), (AdapterSource{"a.gguf", 1}));
  EXPECT_EQ(*ParseAdapterSource("a.gguf,scale=0.5"), (AdapterSource{"a.gguf", 0.5f}));
  EXPECT_EQ(*ParseAdapterSource("with,comma.gguf,scale=-2"), (AdapterSource{"with,comma.gguf", -2}));
  for (const AdapterSource& source : {AdapterSource{"a.gguf", 1}, AdapterSource{"b,c.gguf", 1 / 3.0f}}) {
    EXPECT_EQ(*ParseAdapterSource(AdapterText(source)), source);
  }
}

TEST(AdapterSourceTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", ",scale=1", "a.gguf,scale=", "a.gguf,scale=much", "a.gguf,scale=nan", "a,scale=inf"}) {
    EXPECT_FALSE(ParseAdapterSource(text).ok()) << text;
  }
}

}  // namespace
}  // namespace hearth
