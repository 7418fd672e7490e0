// A library without the names of a plug-in.
extern "C" int skipbench_no_plugin() { return 0; }
