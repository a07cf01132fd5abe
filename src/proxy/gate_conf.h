/* proxy/gate_conf.h: see route/gate_conf.h, which a route's configuration needs as well. */
#pragma once

#include "route/gate_conf.h"
