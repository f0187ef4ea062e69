#include "engine/weights/adapter_file.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_writer.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

constexpr std::string_view kHalfA = ".lora_a";
constexpr std::string_view kHalfB = ".lora_b";
constexpr std::string_view kScale = ",scale=";

// What an adapter adds to one tensor of the model.
struct Term {
  const GgufTensor* a = nullptr;
  const GgufTensor* b = nullptr;
  float factor = 1;
};
// By the tensor's name.
using Terms = std::map<std::string, std::vector<Term>>;

absl::Status Invalid(const GgufFile& file, const auto&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(Printable(file.name()), ": ", parts...));
}

// Whether a tensor of a layer is one that can be adapted.
bool CanAdapt(std::string_view tensor) {
  if (!tensor.starts_with("blk.")) return false;
  const size_t dot = tensor.find('.', 4);
  if (dot == std::string_view::npos) return false;
  constexpr std::string_view kNames[] = {".attn_q.weight",   ".attn_k.weight",      ".attn_v.weight",
                                         ".attn_qkv.weight", ".attn_output.weight", ".ffn_gate.weight",
                                         ".ffn_up.weight",   ".ffn_down.weight"};
  return std::find(std::begin(kNames), std::end(kNames), tensor.substr(dot)) != std::end(kNames);
}

// Values of a row.
std::vector<float> RowOf(const GgufTensor& tensor, uint64_t row) {
  std::vector<float> values(tensor.cols());
  Dequantize(tensor.type, tensor.data.subspan(row * tensor.row_bytes(), tensor.row_bytes()), values.size(),
             values.data());
  return values;
}

// One file of those that are given, checked against the model.
class AdapterReader {
 public:
  AdapterReader(const GgufFile& file, const GgufFile& model, float scale)
      : file_(file), model_(model), scale_(scale) {}

  absl::Status AddTo(Terms& terms) const {
    HEARTH_RETURN_IF_ERROR(CheckKind());
    HEARTH_ASSIGN_OR_RETURN(const std::optional<float> alpha,
                            file_.metadata().GetFloat("adapter.lora.alpha"));
    std::map<std::string, Term> own;
    for (const GgufTensor& tensor : file_.tensors()) {
      const std::string_view name = tensor.name;
      const bool is_a = name.ends_with(kHalfA), is_b = name.ends_with(kHalfB);
      if (!is_a && !is_b) return CannotAdapt(name);
      Term& term = own[std::string(name.substr(0, name.size() - kHalfA.size()))];
      (is_a ? term.a : term.b) = &tensor;
    }
    if (own.empty()) return Invalid(file_, "holds no tensors; convert the adapter again");
    for (auto& [name, term] : own) {
      HEARTH_RETURN_IF_ERROR(Check(name, term));
      const auto rank = static_cast<float>(term.a->rows());
      term.factor = alpha.value_or(0) != 0 ? scale_ * *alpha / rank : scale_;
      if (!std::isfinite(term.factor)) {
        return Invalid(file_, "adapter.lora.alpha ", alpha.value_or(0), " times the scale ", scale_,
                       " is no finite number; convert the adapter again, or give another scale");
      }
      terms[name].push_back(term);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckKind() const {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> general,
                            file_.metadata().GetString("general.type"));
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> kind,
                            file_.metadata().GetString("adapter.type"));
    if (general != "adapter" || kind != "lora") {
      return Invalid(file_,
                     "is no LoRA adapter in GGUF (general.type \"adapter\", adapter.type \"lora\"); "
                     "make one with llama.cpp's convert_lora_to_gguf.py");
    }
    for (const std::string& key : file_.metadata().keys()) {
      if (!key.starts_with("adapter.alora.")) continue;
      return absl::UnimplementedError(
          absl::StrCat(Printable(file_.name()),
                       ": is an adapter for a part of a text (aLoRA), which Hearth does not know; "
                       "use a plain LoRA adapter"));
    }
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> own,
                            file_.metadata().GetString("general.architecture"));
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> models,
                            model_.metadata().GetString("general.architecture"));
    if (own == models) return absl::OkStatus();
    return Invalid(file_, "is an adapter for the architecture ", Printable(own.value_or("")),
                   ", but the model is a ", Printable(models.value_or("")),
                   "; use an adapter that was made for this model");
  }

  absl::Status CannotAdapt(std::string_view tensor) const {
    return absl::UnimplementedError(absl::StrCat(
        Printable(file_.name()), ": holds ", Printable(AbslView(tensor)),
        "; adapters of the query, key, value and output projections and of gate, up and down of dense "
        "layers are supported: leave the others out when you train or convert it"));
  }

  absl::Status Check(const std::string& name, const Term& term) const {
    if (!CanAdapt(name)) return CannotAdapt(name);
    const GgufTensor* base = model_.FindTensor(name);
    if (base == nullptr) {
      return Invalid(file_, "adapts ", Printable(name),
                     ", which the model does not have; use an adapter that was made for this model");
    }
    if (term.a == nullptr || term.b == nullptr) {
      return Invalid(file_, "has one half of ", Printable(name), " only; convert the adapter again");
    }
    const uint64_t rank = term.a->rows();
    if (term.a->cols() != base->cols() || term.b->rows() != base->rows() || term.b->cols() != rank) {
      return Invalid(file_, "the halves of ", Printable(name), " are {", term.a->cols(), ", ", rank,
                     "} and {", term.b->cols(), ", ", term.b->rows(), "}, but the model's tensor {",
                     base->cols(), ", ", base->rows(), "} wants {", base->cols(), ", rank} and {rank, ",
                     base->rows(), "}; use an adapter that was made for this model");
    }
    return absl::OkStatus();
  }

  const GgufFile& file_;
  const GgufFile& model_;
  const float scale_;
};

// W.lora_a: the ranks of all terms one below the other.
std::vector<float> JoinA(absl::Span<const Term> terms) {
  std::vector<float> values;
  for (const Term& term : terms) {
    for (uint64_t r = 0; r < term.a->rows(); ++r) {
      const std::vector<float> row = RowOf(*term.a, r);
      values.insert(values.end(), row.begin(), row.end());
    }
  }
  return values;
}

// W.lora_b: side by side, times their factors.
std::vector<float> JoinB(absl::Span<const Term> terms) {
  std::vector<float> values;
  for (uint64_t r = 0; r < terms[0].b->rows(); ++r) {
    for (const Term& term : terms) {
      for (const float value : RowOf(*term.b, r)) values.push_back(term.factor * value);
    }
  }
  return values;
}

absl::Status CheckFinite(const std::string& name, absl::Span<const float> values) {
  const auto finite = [](float value) { return std::isfinite(value); };
  if (std::all_of(values.begin(), values.end(), finite)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the LoRA adapter's ", Printable(name),
                   " holds a value that is not finite; fetch or convert it again"));
}

absl::Span<const uint8_t> BytesOf(absl::Span<const float> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)};
}

absl::StatusOr<std::vector<uint8_t>> Join(const Terms& terms) {
  GgufWriter writer;
  Sha256 sha;
  for (const auto& [name, of_tensor] : terms) {
    uint64_t rank = 0;
    for (const Term& term : of_tensor) rank += term.a->rows();
    const std::vector<float> a = JoinA(of_tensor), b = JoinB(of_tensor);
    HEARTH_RETURN_IF_ERROR(CheckFinite(name, a));
    HEARTH_RETURN_IF_ERROR(CheckFinite(name, b));
    const auto* text = reinterpret_cast<const uint8_t*>(name.data());
    for (const auto bytes : {absl::MakeConstSpan(text, name.size()), BytesOf(a), BytesOf(b)})
      sha.Update(bytes);
    writer.AddFloats(absl::StrCat(name, AbslView(kHalfA)), {of_tensor[0].a->cols(), rank}, a);
    writer.AddFloats(absl::StrCat(name, AbslView(kHalfB)), {rank, of_tensor[0].b->rows()}, b);
  }
  writer.Set(kAdapterDigestKey, Sha256Hex(sha.Finish()));
  return writer.Serialize();
}

// A parsed file together with the bytes that it was parsed from.
struct OwnedFile {
  std::vector<uint8_t> bytes;
  std::unique_ptr<GgufFile> file;
};

}  // namespace

absl::StatusOr<AdapterSource> ParseAdapterSource(std::string_view text) {
  AdapterSource source{std::string(text)};
  if (const size_t scale = text.rfind(kScale); scale != std::string_view::npos) {
    source.path.resize(scale);
    if (!absl::SimpleAtof(AbslView(text.substr(scale + kScale.size())), &source.scale) ||
        !std::isfinite(source.scale)) {
      return absl::InvalidArgumentError("expected FILE or FILE,scale=S with a number S");
    }
  }
  if (source.path.empty()) return absl::InvalidArgumentError("expected FILE or FILE,scale=S");
  return source;
}

std::string AdapterText(const AdapterSource& source) {
  if (source.scale == 1) return source.path;
  return absl::StrFormat("%s%s%.9g", source.path, AbslView(kScale), source.scale);
}

absl::StatusOr<std::shared_ptr<const GgufFile>> OpenAdapters(absl::Span<const AdapterSource> sources,
                                                             const GgufFile& model) {
  if (sources.empty()) return std::shared_ptr<const GgufFile>();
  if (model.is_packed()) {
    return Invalid(model, "is packed, and neurons on the disk cannot be adapted; give the model's own file");
  }
  std::vector<std::unique_ptr<GgufFile>> files;
  Terms terms;
  for (const AdapterSource& source : sources) {
    HEARTH_ASSIGN_OR_RETURN(files.emplace_back(), GgufFile::Open(source.path));
    HEARTH_RETURN_IF_ERROR(AdapterReader(*files.back(), model, source.scale).AddTo(terms));
  }
  auto owned = std::make_shared<OwnedFile>();
  HEARTH_ASSIGN_OR_RETURN(owned->bytes, Join(terms));
  for (const auto& file : files) HEARTH_RETURN_IF_ERROR(file->CheckUnchanged());
  HEARTH_ASSIGN_OR_RETURN(owned->file, GgufFile::Parse(owned->bytes, files.front()->name()));
  return std::shared_ptr<const GgufFile>(owned, owned->file.get());
}

}  // namespace hearth
