#ifndef HEARTH_ENGINE_KERNEL_VECTOR_OPS_H_
#define HEARTH_ENGINE_KERNEL_VECTOR_OPS_H_

#include <cstddef>

namespace hearth {

// Single-threaded operations on one float32 vector of n values. `out` may be `x`.

// out = x / sqrt(mean(x^2) + epsilon) * weight; weight may be null (all ones).
void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out);
// out = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias; weight and bias may be null.
void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, size_t n, float* out);

// The activation functions of feed-forward layers. GELU is the tanh form.
enum class Activation {
  kSilu,         // x / (1 + exp(-x))
  kGelu,         // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  kRelu,         // max(0, x)
  kReluSquared,  // max(0, x)^2
  kXielu,        // apertus: x > 0 ? a_p x^2 + beta x : a_n (expm1(min(x, eps)) - x) + beta x
  kSwigluOai,    // gpt-oss, gated only: g = min(gate, limit), u = clamp(up, +-limit); g / (1 + exp(-alpha g))
                 // (u + 1)
};

// Constants of the activations that have any.
struct ActivationParameters {
  float alpha = 1.702f;  // kSwigluOai
  float limit = 7.0f;    // kSwigluOai
  float xielu_alpha_p = 0, xielu_alpha_n = 0, xielu_beta = 0, xielu_eps = 0;
};

// h = f(x).
void Activate(Activation f, const ActivationParameters& parameters, const float* x, size_t n, float* h);
// h = f(gate) * up; with relu_up, f(gate) * max(0, up). h may be gate or up.
void ActivateGated(Activation f, const ActivationParameters& parameters, bool relu_up, const float* gate,
                   const float* up, size_t n, float* h);

// y += x; y += scale * x; x *= scale.
void Add(const float* x, size_t n, float* y);
void AddScaled(const float* x, float scale, size_t n, float* y);
void Scale(float scale, size_t n, float* x);
float Dot(const float* a, const float* b, size_t n);
// x = exp(x - max) / sum: in place.
void Softmax(size_t n, float* x);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_VECTOR_OPS_H_
