/* control/version.h */
#pragma once

#ifndef WEIR_VERSION
#define WEIR_VERSION "0.1.0"
#endif
