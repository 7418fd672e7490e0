// Matrix products through cuBLASLt. Its matrices are column-major: our row-major out[m, n] is its
// out^T[n, m] = weight[n, k] * in^T[k, m], that is op(A) = A^T of the weight read as [k, n].
#include <cublasLt.h>

#include <map>
#include <tuple>

#include "engine/base/error.h"
#include "engine/cuda/check.h"
#include "engine/cuda/gemm.h"
#include "fmt/format.h"

namespace skipbench::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;

cudaDataType_t data_type(DType type) {
  switch (type) {
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBF16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

// The largest power of two up to 16 that divides the address: what the heuristic may assume.
uint32_t alignment_of(const void* address) {
  uint32_t bytes = 16;
  while (reinterpret_cast<uintptr_t>(address) % bytes != 0) bytes /= 2;
  return bytes;
}

// Descriptors and algorithm of one shape.
struct Plan {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t weight = nullptr;
  cublasLtMatrixLayout_t in = nullptr;
  cublasLtMatrixLayout_t out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    if (out != nullptr) cublasLtMatrixLayoutDestroy(out);
    if (in != nullptr) cublasLtMatrixLayoutDestroy(in);
    if (weight != nullptr) cublasLtMatrixLayoutDestroy(weight);
    if (product != nullptr) cublasLtMatmulDescDestroy(product);
  }
};

using PlanKey = std::tuple<DType, DType, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                           uint32_t, uint32_t, uint32_t>;

PlanKey key_of(const GemmArgs& args) {
  return {args.type,
          args.out_type,
          args.m,
          args.n,
          args.k,
          args.in_stride,
          args.weight_stride,
          args.out_stride,
          alignment_of(args.in),
          alignment_of(args.weight),
          alignment_of(args.out)};
}

class CublasLtGemm final : public Gemm {
 public:
  CublasLtGemm() {
    CUBLAS_CHECK(cublasLtCreate(&handle_));
    CUDA_CHECK(cudaMalloc(&workspace_, kWorkspaceBytes));
  }
  ~CublasLtGemm() override {
    plans_.clear();
    cudaFree(workspace_);
    cublasLtDestroy(handle_);
  }

  void run(const GemmArgs& args, cudaStream_t stream) override {
    const Plan& plan = plan_for(args);
    const float one = 1;
    const float kept = args.accumulate ? 1 : 0;
    CUBLAS_CHECK(cublasLtMatmul(handle_, plan.product, &one, args.weight, plan.weight, args.in,
                                plan.in, &kept, args.out, plan.out, args.out, plan.out,
                                &plan.algorithm, workspace_, kWorkspaceBytes, stream));
  }

 private:
  const Plan& plan_for(const GemmArgs& args) {
    auto [found, is_new] = plans_.try_emplace(key_of(args));
    if (is_new) {
      try {
        fill_plan(args, found->second);
      } catch (...) {
        plans_.erase(found);
        throw;
      }
    }
    return found->second;
  }

  void fill_plan(const GemmArgs& args, Plan& plan) {
    // CUBLAS_COMPUTE_32F is full f32 for f32 operands: TF32 is a type of its own.
    CUBLAS_CHECK(cublasLtMatmulDescCreate(&plan.product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t transposed = CUBLAS_OP_T;
    CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(plan.product, CUBLASLT_MATMUL_DESC_TRANSA,
                                                &transposed, sizeof(transposed)));
    const auto rows = static_cast<uint64_t>(args.k);
    CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&plan.weight, data_type(args.type), rows,
                                            static_cast<uint64_t>(args.n), args.weight_stride));
    CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&plan.in, data_type(args.type), rows,
                                            static_cast<uint64_t>(args.m), args.in_stride));
    CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&plan.out, data_type(args.out_type),
                                            static_cast<uint64_t>(args.n),
                                            static_cast<uint64_t>(args.m), args.out_stride));
    choose_algorithm(args, plan);
  }

  void choose_algorithm(const GemmArgs& args, Plan& plan) {
    cublasLtMatmulPreference_t preference = nullptr;
    CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(&preference));
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      return cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value));
    };
    const uint32_t weight_alignment = alignment_of(args.weight);
    const uint32_t in_alignment = alignment_of(args.in);
    const uint32_t out_alignment = alignment_of(args.out);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    cublasStatus_t status = set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    if (status == CUBLAS_STATUS_SUCCESS)
      status = set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, weight_alignment);
    if (status == CUBLAS_STATUS_SUCCESS)
      status = set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, in_alignment);
    if (status == CUBLAS_STATUS_SUCCESS)
      status = set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out_alignment);
    if (status == CUBLAS_STATUS_SUCCESS)
      status = set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out_alignment);
    if (status == CUBLAS_STATUS_SUCCESS) {
      status = cublasLtMatmulAlgoGetHeuristic(handle_, plan.product, plan.weight, plan.in, plan.out,
                                              plan.out, preference, 1, &result, &found);
    }
    cublasLtMatmulPreferenceDestroy(preference);
    CUBLAS_CHECK(status);
    if (found == 0) {
      throw Error({.what = fmt::format("cuBLASLt has no algorithm for {} x {} x {} of {}", args.m,
                                       args.n, args.k, dtype_name(args.type)),
                   .where = "gemm"});
    }
    plan.algorithm = result.algo;
  }

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<PlanKey, Plan> plans_;
};

}  // namespace

std::unique_ptr<Gemm> make_gemm() { return std::make_unique<CublasLtGemm>(); }

std::string gemm_library_version() {
  int major = 0, minor = 0, patch = 0;
  if (cublasLtGetProperty(MAJOR_VERSION, &major) != CUBLAS_STATUS_SUCCESS ||
      cublasLtGetProperty(MINOR_VERSION, &minor) != CUBLAS_STATUS_SUCCESS ||
      cublasLtGetProperty(PATCH_LEVEL, &patch) != CUBLAS_STATUS_SUCCESS) {
    return "";
  }
  return fmt::format("{}.{}.{}", major, minor, patch);
}

}  // namespace skipbench::cuda
