# What the imagined next version adds to log.proto: scripts/generate.sh makes the
# code of the build tag vnext from it.
/^    RemoveMember remove_member = 56;$/a\
    Led led = 1000;
/^message RemoveMember {$/i\
message Led {\
  string name = 1;\
  uint64 term = 2;\
}\

/^  uint32 level = 6; \/\/ newest feature level/a\
  string version = 1000;\
  uint64 led_term = 1001;
