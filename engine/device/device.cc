#include "engine/device/device.h"

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

// Picks the value that suits the request's kind.
template <class... Fns>
struct Overloaded : Fns... {
  using Fns::operator()...;
};
template <class... Fns>
Overloaded(Fns...) -> Overloaded<Fns...>;

}  // namespace

Work WorkOf(const Request& request) {
  return std::visit(
      Overloaded{[](const MixRequest&) { return Work::kMix; }, [](const FfnRequest&) { return Work::kFfn; },
                 [](const OutputRequest&) { return Work::kOutput; }},
      request);
}

std::string WorkText(Work work, uint32_t layer) {
  switch (work) {
    case Work::kMix:
      return absl::StrCat("attention ", layer);
    case Work::kFfn:
      return absl::StrCat("ffn ", layer);
    case Work::kOutput:
      return "output";
  }
  return "";
}

uint32_t LayerOf(const Request& request) {
  return std::visit(Overloaded{[](const MixRequest& mix) { return mix.layer; },
                               [](const FfnRequest& ffn) { return ffn.layer; },
                               [](const OutputRequest&) { return uint32_t{0}; }},
                    request);
}

size_t RowsOf(const Request& request) {
  return std::visit(Overloaded{[](const MixRequest& mix) { return mix.rows.size(); },
                               [](const FfnRequest& ffn) { return size_t{ffn.rows}; },
                               [](const OutputRequest& output) { return size_t{output.rows}; }},
                    request);
}

size_t SumsOf(const Request& request) {
  return std::visit(Overloaded{[](const MixRequest& mix) { return mix.rows.size() * mix.output_values; },
                               [](const FfnRequest& ffn) { return size_t{ffn.rows} * ffn.output_values; },
                               [](const OutputRequest&) { return size_t{0}; }},
                    request);
}

}  // namespace hearth
