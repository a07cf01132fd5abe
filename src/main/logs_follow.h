/* main/logs_follow.h: `weir logs follow SOURCE`: the records of a log that a running weir watches, as they come. */
#pragma once

int logs_follow(int argc, char **argv);
