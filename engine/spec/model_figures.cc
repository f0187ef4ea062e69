#include "engine/spec/model_figures.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_skeleton.h"
#include "engine/file/gguf_writer.h"
#include "engine/file/tensor_list.h"
#include "engine/quant/types.h"
#include "engine/spec/architectures.h"

namespace hearth {
namespace {

// More than models have by far.
constexpr uint32_t kMostLayers = 1024;
constexpr uint64_t kMostExperts = 1 << 15;  // of all layers
constexpr uint64_t kMostNeurons = 1 << 26;
constexpr uint32_t kMostSize = 1 << 24;

// What a matrix is to a mixture of types.
enum class Use { kUsual, kEmbedding, kOutput, kValue, kFusedQkv, kDown, kExperts };

// Which types llama.cpp gives to the matrices of a model.
class TypeMix {
 public:
  static absl::StatusOr<TypeMix> Named(const std::string& name) {
    if (name == "Q4_K_M") return TypeMix(TensorType::kQ4_K, TensorType::kQ6_K, TensorType::kQ4_K);
    if (name == "MXFP4") return TypeMix(TensorType::kQ8_0, TensorType::kQ8_0, TensorType::kMXFP4);
    const std::optional<TensorType> type = ParseTypeName(name);
    if (!type) {
      return absl::UnimplementedError(absl::StrCat("weights: \"", Printable(name, kMaxNameBytes),
                                                   "\" is not known; known are Q4_K_M, MXFP4, ",
                                                   SupportedTypeNames()));
    }
    const bool coarse = GetTypeInfo(*type).block_values > 1 && *type != TensorType::kQ8_0;
    return TypeMix(*type, coarse ? TensorType::kQ6_K : *type, *type);
  }

  TensorType Of(Use use, uint32_t layer, uint32_t layers, uint64_t cols) const {
    return Fitting(Wanted(use, layer, layers), cols);
  }

 private:
  TypeMix(TensorType usual, TensorType output, TensorType experts)
      : usual_(usual), output_(output), experts_(experts) {}

  TensorType Wanted(Use use, uint32_t layer, uint32_t layers) const {
    switch (use) {
      case Use::kOutput:
        return output_;
      case Use::kExperts:
        return experts_;
      case Use::kFusedQkv:
        return usual_ == TensorType::kQ4_K ? TensorType::kQ5_K : usual_;
      case Use::kValue:
      case Use::kDown: {
        // The first and last eighth of the layers and every third between have more bits.
        const uint32_t eighth = layers / 8;
        const bool more = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
        return usual_ == TensorType::kQ4_K && more ? TensorType::kQ6_K : usual_;
      }
      case Use::kUsual:
      case Use::kEmbedding:
        break;
    }
    return usual_;
  }

  // What stands for a type of which rows are no whole blocks.
  static TensorType Fitting(TensorType type, uint64_t cols) {
    if (cols % GetTypeInfo(type).block_values == 0) return type;
    return type == TensorType::kQ4_K ? TensorType::kQ5_0 : TensorType::kQ8_0;
  }

  TensorType usual_, output_, experts_;
};

// Lists the tensors of a model.
class FigureWriter {
 public:
  FigureWriter(const ModelFigures& figures, const Architecture& traits, const TypeMix& mix)
      : figures_(figures), traits_(traits), mix_(mix) {}

  absl::StatusOr<std::unique_ptr<GgufFile>> Write() {
    WriteMetadata();
    WriteLeader();
    for (layer_ = 0; layer_ < figures_.layers; ++layer_) {
      WriteNorms();
      WriteAttention();
      figures_.experts > 0 ? WriteExperts() : WriteFfn();
    }
    std::move(list_).Write("hearth.skeleton", writer_);
    HEARTH_ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, writer_.Serialize());
    return ParseSkeleton(std::move(bytes), "the model of these figures");
  }

 private:
  using Ne = std::vector<uint64_t>;

  void WriteMetadata() {
    writer_.Set("general.architecture", figures_.architecture);
    const auto set = [this](const char* key, uint32_t value) {
      if (value > 0) writer_.Set(absl::StrCat(figures_.architecture, ".", key), uint64_t{value});
    };
    set("block_count", figures_.layers);
    set("embedding_length", figures_.embedding);
    set("feed_forward_length", figures_.feed_forward);
    set("attention.head_count", figures_.heads);
    set("attention.head_count_kv", figures_.kv_heads);
    set("attention.key_length", figures_.head_size);
    set("attention.value_length", figures_.head_size);
    set("attention.sliding_window", figures_.window);
    set("context_length", figures_.context);
    set("expert_count", figures_.experts);
    set("expert_used_count", figures_.experts_used);
    if (figures_.experts > 0) set("expert_feed_forward_length", figures_.feed_forward);
    for (const char* key : {"attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"})
      writer_.Set(absl::StrCat(figures_.architecture, ".", key), 1e-5);
    if (figures_.relu) writer_.Set("hearth.ffn_activation", std::string("relu"));
  }

  void WriteLeader() {
    const uint64_t width = figures_.embedding;
    Matrix("token_embd.weight", figures_.own_output ? Use::kEmbedding : Use::kOutput,
           {width, figures_.vocabulary});
    if (traits_.learned_positions)
      Floats("position_embd.weight", {width, uint64_t{figures_.context} + traits_.position_offset});
    if (traits_.token_types) Floats("token_types.weight", {width, 2});
    if (traits_.embedding_norm) Norm("token_embd_norm", width);
    if (!traits_.output_norm.empty()) Norm(std::string(traits_.output_norm), width);
    if (figures_.own_output) Matrix("output.weight", Use::kOutput, {width, figures_.vocabulary});
  }

  void WriteNorms() {
    for (const std::string_view norm :
         {traits_.attention_norm, traits_.attention_post_norm, traits_.attention_stream_norm,
          traits_.ffn_norm, traits_.ffn_post_norm, traits_.ffn_stream_norm}) {
      if (!norm.empty()) Norm(Name(norm), figures_.embedding);
    }
  }

  void WriteAttention() {
    const uint64_t head = figures_.head_size > 0 ? figures_.head_size : figures_.embedding / figures_.heads;
    const uint64_t queries = head * figures_.heads, keys = head * figures_.kv_heads;
    const uint64_t width = figures_.embedding;
    if (IsFused()) {
      Matrix(Name("attn_qkv.weight"), Use::kFusedQkv, {width, queries + 2 * keys});
    } else {
      Matrix(Name("attn_q.weight"), Use::kUsual, {width, queries});
      Matrix(Name("attn_k.weight"), Use::kUsual, {width, keys});
      Matrix(Name("attn_v.weight"), Use::kValue, {width, keys});
    }
    Matrix(Name("attn_output.weight"), Use::kUsual, {queries, width});
    if (traits_.qk_norm == QkNorm::kPerHead) {
      Floats(Name("attn_q_norm.weight"), {head});
      Floats(Name("attn_k_norm.weight"), {head});
    }
    if (traits_.sinks) Floats(Name("attn_sinks.weight"), {figures_.heads});
    if (!figures_.attention_bias) return;
    Floats(Name("attn_q.bias"), {queries});
    Floats(Name("attn_k.bias"), {keys});
    Floats(Name("attn_v.bias"), {keys});
  }

  void WriteFfn() {
    const uint64_t width = figures_.embedding, neurons = figures_.feed_forward;
    if (IsFused()) {
      Matrix(Name("ffn_up.weight"), Use::kUsual, {width, 2 * neurons});
    } else {
      if (traits_.gated) Matrix(Name("ffn_gate.weight"), Use::kUsual, {width, neurons});
      Matrix(Name("ffn_up.weight"), Use::kUsual, {width, neurons});
    }
    Matrix(Name("ffn_down.weight"), Use::kDown, {neurons, width});
  }

  void WriteExperts() {
    const uint64_t width = figures_.embedding, neurons = figures_.feed_forward, experts = figures_.experts;
    // A mixture of its own has one type for experts, others treat their `down` as that of any layer.
    const bool own = mix_.Of(Use::kExperts, layer_, figures_.layers, width) !=
                     mix_.Of(Use::kUsual, layer_, figures_.layers, width);
    Floats(Name("ffn_gate_inp.weight"), {width, experts});
    Matrix(Name("ffn_gate_exps.weight"), Use::kExperts, {width, neurons, experts});
    Matrix(Name("ffn_up_exps.weight"), Use::kExperts, {width, neurons, experts});
    Matrix(Name("ffn_down_exps.weight"), own ? Use::kExperts : Use::kDown, {neurons, width, experts});
  }

  // Files of this architecture have query, key and value in one matrix, and gate and up in another.
  bool IsFused() const { return figures_.architecture == "phi3"; }

  std::string Name(std::string_view name) const { return absl::StrCat("blk.", layer_, ".", AbslView(name)); }

  void Matrix(std::string name, Use use, const Ne& ne) {
    Add(std::move(name), mix_.Of(use, layer_, figures_.layers, ne[0]), ne);
  }
  void Floats(std::string name, const Ne& ne) { Add(std::move(name), TensorType::kF32, ne); }
  void Norm(const std::string& name, uint64_t width) {
    Floats(name + ".weight", {width});
    if (traits_.norm == NormKind::kLayer) Floats(name + ".bias", {width});
  }
  void Add(std::string name, TensorType type, const Ne& ne) {
    GgufTensor tensor{.name = std::move(name), .type = type};
    std::copy(ne.begin(), ne.end(), tensor.ne.begin());
    list_.Add(tensor);
  }

  const ModelFigures& figures_;
  const Architecture& traits_;
  const TypeMix& mix_;
  uint32_t layer_ = 0;
  GgufWriter writer_;
  TensorList list_;
};

absl::Status CheckFigures(const ModelFigures& figures) {
  const std::pair<const char*, uint32_t> needed[] = {
      {"layers", figures.layers},     {"embedding", figures.embedding},
      {"heads", figures.heads},       {"feed_forward", figures.feed_forward},
      {"kv_heads", figures.kv_heads}, {"vocabulary", figures.vocabulary},
      {"context", figures.context}};
  for (const auto& [name, value] : needed) {
    if (value > 0 && value <= kMostSize) continue;
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", value, " is more or less than any model has"));
  }
  if (figures.layers > kMostLayers || figures.head_size > kMostSize ||
      uint64_t{figures.experts} * figures.layers > kMostExperts) {
    return absl::InvalidArgumentError("layers, experts or head_size: more than any model has");
  }
  const uint64_t blocks = std::max<uint64_t>(figures.experts, 1) * figures.layers;
  if (blocks * figures.feed_forward > kMostNeurons) {
    return absl::InvalidArgumentError("feed_forward: more neurons than any model has");
  }
  if (figures.experts_used > figures.experts || (figures.experts > 0 && figures.experts_used == 0)) {
    return absl::InvalidArgumentError("experts_used: some of the experts, at most all of them");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GgufFile>> FileOfFigures(const ModelFigures& figures) {
  const Architecture* const traits = FindArchitecture(figures.architecture);
  if (traits == nullptr) {
    return absl::UnimplementedError(absl::StrCat("architecture: \"",
                                                 Printable(figures.architecture, kMaxNameBytes),
                                                 "\" is not known; known are ", SupportedArchitectures()));
  }
  HEARTH_RETURN_IF_ERROR(CheckFigures(figures));
  HEARTH_ASSIGN_OR_RETURN(const TypeMix mix, TypeMix::Named(figures.weights));
  return FigureWriter(figures, *traits, mix).Write();
}

uint64_t TensorBytes(const GgufFile& file) {
  uint64_t bytes = 0;
  for (const GgufTensor& tensor : file.tensors()) bytes += tensor.bytes();
  return bytes;
}

}  // namespace hearth
