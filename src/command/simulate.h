/* command/simulate.h: `weir simulate`: what a change of the configuration would do to a log's requests, or to made ones. */
#pragma once

int simulate_command(int argc, char **argv);
