#include "engine/kernel/vector_ops.h"

#include <cmath>
#include <cstddef>
#include <limits>

#include "engine/base/check.h"
#include "engine/kernel/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/vector_ops.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/simd-inl.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out) {
  Partials squares;
  AccumulateDot(x, x, n, squares);
  const VF32 scale = hn::Set(F32(), 1.0f / std::sqrt(squares.Sum() / static_cast<float>(n) + epsilon));
  if (weight == nullptr) {
    Transform(x, x, n, out, [&](VF32 v, VF32) HWY_ATTR { return hn::Mul(v, scale); });
  } else {
    Transform(x, weight, n, out, [&](VF32 v, VF32 w) HWY_ATTR { return hn::Mul(hn::Mul(v, scale), w); });
  }
}

void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, size_t n, float* out) {
  Partials values;
  Accumulate(
      x, x, n, 0.0f, [](VF32 sum, VF32 v, VF32) HWY_ATTR { return hn::Add(sum, v); }, values);
  const float mean = values.Sum() / static_cast<float>(n);
  const VF32 center = hn::Set(F32(), mean);
  Partials squares;
  const auto add_square = [&](VF32 sum, VF32 v, VF32) HWY_ATTR {
    const VF32 difference = hn::Sub(v, center);
    return hn::MulAdd(difference, difference, sum);
  };
  Accumulate(x, x, n, mean, add_square, squares);
  const VF32 scale = hn::Set(F32(), 1.0f / std::sqrt(squares.Sum() / static_cast<float>(n) + epsilon));
  Transform(x, x, n, out, [&](VF32 v, VF32) HWY_ATTR { return hn::Mul(hn::Sub(v, center), scale); });
  if (weight != nullptr) {
    Transform(out, weight, n, out, [](VF32 v, VF32 w) HWY_ATTR { return hn::Mul(v, w); });
  }
  if (bias != nullptr) Transform(out, bias, n, out, [](VF32 v, VF32 b) HWY_ATTR { return hn::Add(v, b); });
}

// x / (1 + exp(-scaled)): SiLU for scaled = x, GELU for scaled = 2 z, since (1 + tanh z) / 2 = 1 / (1 +
// exp(-2z)). Unlike 1 + tanh this loses no digits where tanh is near -1. exp is exact to an ulp up to 104,
// where it is inf.
HWY_INLINE VF32 TimesSigmoid(VF32 x, VF32 scaled) {
  const F32 d;
  const VF32 exponent = hn::Min(hn::Neg(scaled), hn::Set(d, 104.0f));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), hn::Exp(d, exponent)));
}

HWY_INLINE VF32 Silu(VF32 x) { return TimesSigmoid(x, x); }

HWY_INLINE VF32 Gelu(VF32 x) {
  const F32 d;
  constexpr float kTwoSqrtTwoOverPi = 1.5957691216057308f;
  const VF32 inner = hn::MulAdd(hn::Mul(hn::Set(d, 0.044715f), hn::Mul(x, x)), x, x);
  return TimesSigmoid(x, hn::Mul(hn::Set(d, kTwoSqrtTwoOverPi), inner));
}

HWY_INLINE VF32 Relu(VF32 x) { return hn::Max(x, hn::Zero(F32())); }

HWY_INLINE VF32 ReluSquared(VF32 x) {
  const VF32 positive = Relu(x);
  return hn::Mul(positive, positive);
}

HWY_INLINE VF32 Xielu(const ActivationParameters& p, VF32 x) {
  const F32 d;
  const VF32 linear = hn::Mul(hn::Set(d, p.xielu_beta), x);
  const VF32 above = hn::MulAdd(hn::Set(d, p.xielu_alpha_p), hn::Mul(x, x), linear);
  const VF32 growth = hn::Sub(hn::Expm1(d, hn::Min(x, hn::Set(d, p.xielu_eps))), x);
  const VF32 below = hn::MulAdd(hn::Set(d, p.xielu_alpha_n), growth, linear);
  return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), above, below);
}

HWY_INLINE VF32 SwigluOai(const ActivationParameters& p, VF32 gate, VF32 up) {
  const F32 d;
  const VF32 limit = hn::Set(d, p.limit);
  const VF32 g = hn::Min(gate, limit);
  const VF32 u = hn::Clamp(up, hn::Neg(limit), limit);
  return hn::Mul(TimesSigmoid(g, hn::Mul(hn::Set(d, p.alpha), g)), hn::Add(u, hn::Set(d, 1.0f)));
}

// Calls use(op) with f as a function of one vector.
template <class Use>
void WithActivation(Activation f, const ActivationParameters& p, const Use& use) {
  switch (f) {
    case Activation::kSilu:
      return use([](VF32 x) HWY_ATTR { return Silu(x); });
    case Activation::kGelu:
      return use([](VF32 x) HWY_ATTR { return Gelu(x); });
    case Activation::kRelu:
      return use([](VF32 x) HWY_ATTR { return Relu(x); });
    case Activation::kReluSquared:
      return use([](VF32 x) HWY_ATTR { return ReluSquared(x); });
    case Activation::kXielu:
      return use([&p](VF32 x) HWY_ATTR { return Xielu(p, x); });
    case Activation::kSwigluOai:
      break;
  }
  HEARTH_CHECK(!"kSwigluOai has no form without a gate");
}

void Activate(Activation f, const ActivationParameters& p, const float* x, size_t n, float* h) {
  WithActivation(f, p, [&](auto op) { Transform(x, x, n, h, [&](VF32 v, VF32) HWY_ATTR { return op(v); }); });
}

void ActivateGated(Activation f, const ActivationParameters& p, bool relu_up, const float* gate,
                   const float* up, size_t n, float* h) {
  if (f == Activation::kSwigluOai) {
    Transform(gate, up, n, h,
              [&](VF32 g, VF32 u) HWY_ATTR { return SwigluOai(p, g, relu_up ? Relu(u) : u); });
    return;
  }
  WithActivation(f, p, [&](auto op) {
    if (relu_up) {
      Transform(gate, up, n, h, [&](VF32 g, VF32 u) HWY_ATTR { return hn::Mul(op(g), Relu(u)); });
    } else {
      Transform(gate, up, n, h, [&](VF32 g, VF32 u) HWY_ATTR { return hn::Mul(op(g), u); });
    }
  });
}

void AddScaled(const float* x, float scale, size_t n, float* y) {
  const VF32 s = hn::Set(F32(), scale);
  Transform(x, y, n, y, [s](VF32 a, VF32 b) HWY_ATTR { return hn::MulAdd(a, s, b); });
}

void Add(const float* x, size_t n, float* y) {
  Transform(x, y, n, y, [](VF32 a, VF32 b) HWY_ATTR { return hn::Add(a, b); });
}

void Scale(float scale, size_t n, float* x) {
  const VF32 s = hn::Set(F32(), scale);
  Transform(x, x, n, x, [s](VF32 v, VF32) HWY_ATTR { return hn::Mul(v, s); });
}

float Dot(const float* a, const float* b, size_t n) {
  Partials sums;
  AccumulateDot(a, b, n, sums);
  return sums.Sum();
}

void Softmax(size_t n, float* x) {
  const F32 d;
  const VF32 max = hn::Set(d, Largest(n, x));
  Transform(x, x, n, x, [&](VF32 v, VF32) HWY_ATTR { return hn::Exp(d, hn::Sub(v, max)); });
  Partials sum;
  Accumulate(
      x, x, n, 0.0f, [](VF32 s, VF32 v, VF32) HWY_ATTR { return hn::Add(s, v); }, sum);
  Scale(1.0f / sum.Sum(), n, x);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(RmsNorm);
HWY_EXPORT(LayerNorm);
HWY_EXPORT(Activate);
HWY_EXPORT(ActivateGated);
HWY_EXPORT(Add);
HWY_EXPORT(AddScaled);
HWY_EXPORT(Scale);
HWY_EXPORT(Dot);
HWY_EXPORT(Softmax);

void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(RmsNorm)(x, weight, epsilon, n, out);
}
void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(LayerNorm)(x, weight, bias, epsilon, n, out);
}
void Activate(Activation f, const ActivationParameters& parameters, const float* x, size_t n, float* h) {
  HWY_DYNAMIC_DISPATCH(Activate)(f, parameters, x, n, h);
}
void ActivateGated(Activation f, const ActivationParameters& parameters, bool relu_up, const float* gate,
                   const float* up, size_t n, float* h) {
  HWY_DYNAMIC_DISPATCH(ActivateGated)(f, parameters, relu_up, gate, up, n, h);
}
void Add(const float* x, size_t n, float* y) { HWY_DYNAMIC_DISPATCH(Add)(x, n, y); }
void AddScaled(const float* x, float scale, size_t n, float* y) {
  HWY_DYNAMIC_DISPATCH(AddScaled)(x, scale, n, y);
}
void Scale(float scale, size_t n, float* x) { HWY_DYNAMIC_DISPATCH(Scale)(scale, n, x); }
float Dot(const float* a, const float* b, size_t n) { return HWY_DYNAMIC_DISPATCH(Dot)(a, b, n); }
void Softmax(size_t n, float* x) { HWY_DYNAMIC_DISPATCH(Softmax)(n, x); }

}  // namespace hearth
#endif  // HWY_ONCE
