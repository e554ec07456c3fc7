from imgtranslate.cli import main

main()
