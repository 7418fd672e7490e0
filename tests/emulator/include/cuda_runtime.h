// Found before the toolkit's header of this name in an emulated build.
#pragma once
#include "tests/emulator/cuda_emulator.h"
#include "tests/emulator/device_functions.h"
#include "tests/emulator/runtime_api.h"
